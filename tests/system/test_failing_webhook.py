"""R3: an admission webhook that is down and fails closed: every attempt counts, on a real API server.

`make chaos` lets it stay down for longer: CONTROLCORE_WEBHOOK_SECONDS.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fakes.waiting import wait_for
from tests.system.stage import Stage, deliver, kinds, wait_closed, wait_held
from tools.servers.kubernetes.client import ApiError
from tools.servers.ports import free_port

SECONDS = float(os.environ.get("CONTROLCORE_WEBHOOK_SECONDS", "8"))
pytestmark = pytest.mark.timeout(240 + 2 * int(SECONDS))
RETRY_SECONDS = 1.0
REGISTRY = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
WRITES = 'controlcore_remediation_actions_total{action="restart_workload",outcome="%s",remediation="restart-api"} %.1f'


def webhook(stage: Stage) -> dict[str, Any]:
    """Called for every change of a Deployment of this namespace; nothing listens at its address."""
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"down-{stage.namespace}"},
        "webhooks": [
            {
                "name": "down.controlcore.test",
                "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/judge"},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


@contextmanager
def down(stage: Stage) -> Iterator[None]:
    """The webhook is in force, and the API server has loaded it."""
    stage.cluster.apply([webhook(stage)])
    path = f"{stage.path()}?dryRun=All"
    try:
        wait_for(lambda: _is_refused(stage, path))
        yield
    finally:
        stage.cluster.client.delete(f"{REGISTRY}/down-{stage.namespace}")
        wait_for(lambda: not _is_refused(stage, path))


def _is_refused(stage: Stage, path: str) -> bool:
    """Whether a change of the Deployment is answered with an error of the server."""
    try:
        stage.cluster.client.patch(path, {"metadata": {"labels": {"probe": "1"}}})
    except ApiError as error:
        return error.code >= 500
    return False


def patches(stage: Stage) -> int:
    """Writes that reached the API server, as dry runs or for real."""
    return sum(stage.front.seen.count(("PATCH", f"{stage.path()}{end}")) for end in ("", "?dryRun=All"))


def test_write_that_a_failing_webhook_refuses_is_tried_as_often_as_the_policy_says(stage: Stage) -> None:
    stage.deploy()
    before = stage.breaks()
    policy = stage.policy(budget_actions=2, retry_seconds=RETRY_SECONDS)
    with down(stage), stage.remediator(policy) as remediator:
        deliver(remediator)
        wait_held(remediator, "budget_spent")
        tried = patches(stage)
        time.sleep(SECONDS)
        wait_held(remediator, "budget_spent")  # Each new reading claims it first.
        assert patches(stage) == tried
        assert tried <= 2 * 2, "at most one dry run and one write for each attempt"
        assert remediator.read("SELECT attempts FROM remediation") == [(2,)]
        assert kinds(remediator, "write") < 20
        times = [at for (at,) in remediator.read("SELECT at FROM record WHERE kind = 'intent' ORDER BY at")]
        assert times[1] - times[0] >= RETRY_SECONDS
        assert WRITES % ("lost", 2) in remediator.ask("GET", "/metrics")[1]
    assert stage.generation() == before


def test_repair_is_made_once_the_webhook_answers_again(stage: Stage) -> None:
    stage.deploy()
    before = stage.breaks()
    with stage.remediator(stage.policy(retry_seconds=RETRY_SECONDS), breaker={"failures": 100}) as remediator:
        with down(stage):
            deliver(remediator)
            wait_for(lambda: kinds(remediator, "intent") >= 2)
            assert stage.generation() == before
        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1
        ((attempts,),) = remediator.read("SELECT attempts FROM remediation")
        assert attempts == kinds(remediator, "intent")


def test_attempts_open_the_breaker(stage: Stage) -> None:
    """The policy may try as often as it likes; three attempts without proof are enough."""
    stage.deploy()
    stage.breaks()
    with down(stage), stage.remediator(stage.policy()) as remediator:
        deliver(remediator)
        wait_held(remediator, "breaker_open")
        assert remediator.read("SELECT attempts FROM remediation") == [(3,)]
        assert patches(stage) <= 3 * 2
