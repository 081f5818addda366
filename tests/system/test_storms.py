"""Cases that must not be decided wrongly: storms, wrong diagnoses, running repairs. On a real API server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import Stage, deliver, kinds
from tools.servers.alertmanager import AlertmanagerServer

pytestmark = pytest.mark.timeout(240)
STORM_SECONDS = 4.0
APPS = tuple(f"app-{number}" for number in range(4))
BUDGET = 2


def storm() -> list[dict[str, Any]]:
    """Two hundred alerts: the database is down, and everything that depends on it raises an alert."""
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    listed = [an_alert(deployment=name)["labels"] for name in APPS]
    other = [an_alert(remediation="other", deployment=f"other-{number}")["labels"] for number in range(195)]
    labels = [{"alertname": "ControlCoreDatabaseDown", "remediation": "none", "cluster": "test"}, *listed, *other]
    return [{"labels": each, "startsAt": starts} for each in labels]


def reasons(remediator: RunningRemediator) -> set[str]:
    """Why the alerts about the listed targets are held."""
    rows = remediator.read("SELECT DISTINCT reason FROM remediation WHERE policy = 'restart-api' AND state = 'held'")
    return {str(row[0]) for row in rows}


def test_storm_is_waited_out_and_then_the_budget_is_all_that_acts(stage: Stage) -> None:
    for name in APPS:
        stage.cluster.apply(stage.deployment(name, replicas=1))
    for name in APPS:
        stage.cluster.wait_rolled_out(stage.namespace, name)
    before = {name: stage.generation(name) for name in APPS}
    stage.watch.answers["database"] = 0.0
    policies = (
        stage.policy(*APPS, dependencies=["database"], retry_seconds=0.5),
        stage.policy("nothing-that-fires", name="other", retry_seconds=600),
    )
    top = {
        "dependencies": {"database": {"promql": "database", "collectors": ["postgres"]}},
        "storm": {"alerts": 50, "window_seconds": 60, "cooldown_seconds": STORM_SECONDS},
        "max_actions": BUDGET,
    }
    with stage.remediator(*policies, **top) as remediator:
        route = remediator.alertmanager_configuration()
        with AlertmanagerServer(route) as alertmanager:
            alertmanager.post_alerts(storm())
            wait_for(lambda: reasons(remediator) == {"dependency_down"})
            wait_for(lambda: remediator.read("SELECT count(*) FROM remediation") == [(199,)])
            assert kinds(remediator, "intent") == 0
            stage.watch.answers["database"] = 1.0
            wait_for(lambda: reasons(remediator) == {"budget_spent"} and kinds(remediator, "write") >= BUDGET)

        assert kinds(remediator, "intent") == BUDGET
        assert sum(stage.generation(name) - before[name] for name in APPS) == BUDGET
        ((latest,),) = remediator.read("SELECT max(at) FROM arrival")
        ((first,),) = remediator.read("SELECT min(at) FROM record WHERE kind = 'intent'")
        assert first >= latest + STORM_SECONDS


def test_workload_in_any_trouble_of_its_own_is_not_restarted(stage: Stage) -> None:
    """One of three ready; paused; rolling out; a budget that allows no disruption: each its own reason."""
    expected = {
        "sick": "partially_ready",
        "paused": "workload_paused",
        "rolling": "rollout_running",
        "guarded": "disruption_budget",
    }
    one_goes = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}
    for name in expected:
        stage.cluster.apply(stage.deployment(name, **(one_goes if name == "guarded" else {})))
    for name in expected:
        stage.cluster.wait_rolled_out(stage.namespace, name)
    trouble(stage)
    before = {name: stage.generation(name) for name in expected}
    with stage.remediator(stage.policy(*expected)) as remediator:
        for number, name in enumerate(expected):
            deliver(remediator, number, deployment=name)
        wait_for(lambda: dict(remediator.read("SELECT name, reason FROM remediation WHERE state = 'held'")) == expected)
        assert kinds(remediator, "intent") == 0
        assert {name: stage.generation(name) for name in expected} == before


def trouble(stage: Stage) -> None:
    """Brings each Deployment into the state of its name, and waits until the API shows it."""
    client, place = stage.cluster.client, stage.namespace
    client.patch(stage.path("paused"), {"spec": {"paused": True}})
    client.patch(stage.path("rolling"), {"spec": {"template": {"spec": {"nodeSelector": {"there": "nowhere"}}}}})
    budget = {"minAvailable": 3, "selector": {"matchLabels": {"app": "guarded"}}}
    metadata = {"name": "guarded", "namespace": place}
    stage.cluster.apply(
        [{"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget}]
    )
    pods = client.items(f"/api/v1/namespaces/{place}/pods?labelSelector=app%3Dsick")
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    for pod in pods[:2]:
        path = f"/api/v1/namespaces/{place}/pods/{pod['metadata']['name']}/status"
        client.patch(path, {"status": {"conditions": [condition]}})
    stage.cluster.wait_for(stage.path("sick"), lambda found: found["status"].get("readyReplicas") == 1)
    stage.cluster.wait_for(stage.path("rolling"), lambda found: found["status"].get("updatedReplicas") == 1)
    path = f"/apis/policy/v1/namespaces/{place}/poddisruptionbudgets/guarded"
    stage.cluster.wait_for(path, lambda found: found.get("status", {}).get("currentHealthy") == 3)
