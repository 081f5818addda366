"""What people are hurt by elsewhere: their silence, their rollout, their configuration, their other cluster."""

from __future__ import annotations

import math
import os
import signal
import time
from datetime import datetime

import pytest

from remediations.engine.deciding import MUTES_SECONDS
from tests.fakes.faulty_proxy import Front
from tests.fakes.running_remediator import an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import NAME, Stage, deliver, kinds, wait_closed, wait_held
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.kubernetes.client import STRATEGIC_PATCH
from tools.slowness import slowness

pytestmark = pytest.mark.timeout(120)
READY = {"name": "pods", "kind": "pods_ready"}
QUIET_SECONDS = 3600


def test_exporter_cut_off_from_a_healthy_api_restarts_nothing(stage: Stage) -> None:
    """The exporter sees no API; the kubelets and a request of our own do."""
    stage.deploy()
    before = stage.generation()
    stage.watch.answers |= {"fault": 1.0, "well": 0.0}
    stage.watch.is_healthy = True
    policy = stage.policy()
    with stage.remediator(policy | {"witnesses": [*policy["witnesses"], READY]}) as remediator:
        deliver(remediator)
        wait_held(remediator, "witnesses_disagree")
        assert (stage.generation(), kinds(remediator, "intent")) == (before, 0)


def test_same_names_in_another_cluster_are_not_ours(stage: Stage) -> None:
    """The objects of both clusters have the same names; only a label of the alert distinguishes them."""
    stage.deploy()
    before = stage.breaks()
    with stage.remediator() as remediator:
        deliver(remediator, cluster="production", namespace=stage.namespace)
        wait_held(remediator, "foreign_target")
        assert (stage.generation(), kinds(remediator, "intent")) == (before, 0)


def test_silence_set_between_receipt_and_write_stops_the_write(stage: Stage) -> None:
    """The alert is stored and its facts are being read when it is silenced."""
    stage.deploy()
    before = stage.breaks()
    with (
        AlertmanagerServer("route: {receiver: none}\nreceivers: [{name: none}]") as alertmanager,
        Front(alertmanager.url) as front,
    ):
        settings = {"alertmanager": {"url": front.url, "timeout_seconds": slowness()}}
        stage.watch.may_answer.clear()
        with stage.remediator(settings=settings) as remediator:
            deliver(remediator)
            # Alertmanager has said that nothing mutes the alert; the other facts are still on their way.
            wait_for(lambda: ("GET", "/api/v2/alerts") in front.seen)
            silence = alertmanager.silence(alertname=an_alert()["labels"]["alertname"])
            # A younger answer is trusted.
            time.sleep(2 * MUTES_SECONDS)
            stage.watch.may_answer.set()
            wait_held(remediator, "silenced")
            assert (stage.generation(), stage.front.statuses.count(("PATCH", 200))) == (before, 0)
            alertmanager.expire_silence(silence)
            assert wait_closed(remediator) == "succeeded"


def test_rollout_of_a_person_is_waited_out(stage: Stage) -> None:
    """Somebody has just rolled the Deployment out: nothing is written before the quiet time is over.

    It ends two seconds after the hold has been seen, however long the machine took until then.
    """
    stage.deploy()
    path = f"{stage.path()}?fieldManager=kubectl-rollout"

    def change_times() -> dict[str, float]:
        fields = stage.read()["metadata"]["managedFields"]
        return {item["manager"]: datetime.fromisoformat(item["time"]).timestamp() for item in fields}

    def rollout_time() -> float:
        return change_times()["kubectl-rollout"]

    def is_newest() -> bool:
        """Times of the API are whole seconds, and the Deployment is young itself."""
        mark = {"kubectl.kubernetes.io/restartedAt": str(time.monotonic())}
        rollout = {"spec": {"template": {"metadata": {"annotations": mark}}}}
        stage.cluster.client.patch(path, rollout, STRATEGIC_PATCH)
        return rollout_time() > change_times()["controlcore-test"]

    wait_for(is_newest)
    stage.cluster.wait_rolled_out(stage.namespace, NAME)
    before = stage.breaks()
    with stage.remediator(stage.policy(human_quiet_seconds=QUIET_SECONDS)) as remediator:
        deliver(remediator)
        wait_held(remediator, "human_active")
        story = remediator.read("SELECT data FROM record WHERE kind = 'decision' ORDER BY number LIMIT 1")
        assert "kubectl-rollout changed" in story[0][0]
        assert stage.generation() == before

        changed_at = rollout_time()
        quiet_seconds = math.ceil(time.time() - changed_at) + 2
        long, short = (f"human_quiet_seconds: {seconds}" for seconds in (QUIET_SECONDS, quiet_seconds))
        assert long in remediator.policies
        remediator.policies_path.write_text(remediator.policies.replace(long, short))
        os.kill(remediator.process.pid, signal.SIGHUP)
        assert wait_closed(remediator) == "succeeded"
        ((written_at,),) = remediator.read("SELECT at FROM record WHERE kind = 'intent'")
        assert written_at >= changed_at + quiet_seconds
        assert stage.generation() == before + 1


def test_configuration_that_changed_since_the_pods_started_is_not_rolled_out(stage: Stage) -> None:
    metadata = {"name": "settings", "namespace": stage.namespace}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"LEVEL": "1"}}
    stage.cluster.apply(settings)
    container = {"name": "api", "image": "api:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    labels = {"app": "control-plane-api"}
    stage.deploy(template={"metadata": {"labels": labels}, "spec": {"containers": [container]}})
    before = stage.breaks()
    pods = stage.cluster.client.items(f"/api/v1/namespaces/{stage.namespace}/pods")
    started = max(pod["status"]["startTime"] for pod in pods)
    path = f"/api/v1/namespaces/{stage.namespace}/configmaps/settings"

    def is_changed_later() -> bool:
        """Times of the API are whole seconds."""
        found = stage.cluster.client.patch(path, {"data": {"LEVEL": str(time.monotonic())}})
        return max(item["time"] for item in found["metadata"]["managedFields"]) > started

    wait_for(is_changed_later)
    stage.allow_reading("configmaps", name="settings")
    with stage.remediator() as remediator:
        deliver(remediator)
        wait_held(remediator, "configuration_changed")
        assert (stage.generation(), kinds(remediator, "intent")) == (before, 0)


def test_policy_that_names_a_missing_object_says_so(stage: Stage) -> None:
    with stage.remediator(stage.policy("never-installed")) as remediator:
        deliver(remediator)
        wait_held(remediator, "target_missing")
