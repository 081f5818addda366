"""The same alert delivered twice, or delivered as resolved. Real Alertmanagers, a real API server."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.faulty_proxy import Fault, Front
from tests.fakes.running_remediator import an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import Stage, deliver, kinds, newest, wait_closed, wait_held
from tools.servers.alertmanager import AlertmanagerServer

pytestmark = pytest.mark.timeout(240)


def fire(alertmanager: AlertmanagerServer, ago: float = 0.0, ends_in: float | None = None, **labels: str) -> None:
    now = datetime.now(UTC)
    alert = {"labels": {**an_alert()["labels"], **labels}, "startsAt": (now - timedelta(seconds=ago)).isoformat()}
    if ends_in is not None:
        alert["endsAt"] = (now + timedelta(seconds=ends_in)).isoformat()
    alertmanager.post_alerts([alert])


def accepted(front: Front) -> int:
    """Deliveries that the remediator has stored."""
    return front.statuses.count(("POST", 200))


def is_settled(alertmanager: AlertmanagerServer) -> bool:
    """Whether it knows its peer and sends."""
    cluster = alertmanager.status()["cluster"]
    return cluster["status"] == "ready" and len(cluster["peers"]) == 2


def test_two_clustered_alertmanagers_lead_to_one_action(stage: Stage) -> None:
    """The receiver is out for a while, then slower than the turn of the second sender: both deliver, one write each."""
    apps = {"failing": Fault.STATUS, "slow": Fault.LATE}
    for name in apps:
        stage.deploy(name)
    # A member waits its place in the cluster times the peer timeout for those before it; its own default is 15 s. It
    # counts as settled when its gossip has been quiet for a while, and its interval decides how long that is.
    flags = ("--cluster.peer-timeout=1s", "--cluster.gossip-interval=50ms")
    with stage.remediator(stage.policy(*apps)) as remediator, ExitStack() as stack:
        fronts = [stack.enter_context(Front(remediator.url)) for _ in range(2)]
        texts = [remediator.alertmanager_configuration(front.url) for front in fronts]
        first = stack.enter_context(AlertmanagerServer(texts[0], is_clustered=True, flags=flags))
        second = stack.enter_context(AlertmanagerServer(texts[1], peers=(first,), flags=flags))
        wait_for(lambda: all(is_settled(each) for each in (first, second)))
        for number, (name, fault) in enumerate(apps.items(), start=1):
            before = stage.breaks(name)
            seen = [len(front.seen) for front in fronts]
            for front in fronts:
                front.fail(fault, {"POST"}, 503)
            for alertmanager in (first, second):
                fire(alertmanager, alertname=f"Alert{number}", deployment=name)
            wait_for(lambda seen=seen: all(len(front.seen) > old for front, old in zip(fronts, seen, strict=True)))
            for front in fronts:
                front.heal()
                front.release()
            wait_for(lambda number=number: all(accepted(front) >= number for front in fronts))

            assert wait_closed(remediator) == "succeeded"
            assert remediator.read("SELECT count(*) FROM remediation") == [(number,)]
            assert stage.generation(name) == before + 1


def test_moved_start_and_other_replica_are_the_same_alert(stage: Stage) -> None:
    """Two Prometheus servers, two Alertmanagers: one action; and another alert about the same target has to wait."""
    stage.deploy()
    before = stage.breaks()
    with (
        stage.remediator(stage.policy(cooldown_seconds=900)) as remediator,
        Front(remediator.url) as front,
        AlertmanagerServer(remediator.alertmanager_configuration(front.url)) as first,
        AlertmanagerServer(remediator.alertmanager_configuration(front.url)) as second,
    ):
        fire(first, prometheus_replica="a")
        wait_for(lambda: accepted(front) >= 1)
        fire(second, 7.0, prometheus_replica="b")
        wait_for(lambda: accepted(front) >= 2)
        assert wait_closed(remediator) == "succeeded"
        stage.breaks()
        # With the new alert of its group the old one comes again: only the new one is news.
        fire(second, 14.0, prometheus_replica="b")
        fire(second, 1.0, prometheus_replica="b", pod="another")
        wait_held(remediator, "cooldown")

        assert remediator.read("SELECT count(*) FROM remediation") == [(2,)]
        assert kinds(remediator, "intent") == 1
        assert stage.generation() == before + 1


def test_silence_after_the_repair_is_no_proof(stage: Stage) -> None:
    """Prometheus goes silent, so the alert ends and Alertmanager says resolved: unverified, and nothing is undone."""
    stage.deploy()
    before = stage.breaks()
    policy = stage.policy(cooldown_seconds=900, verify_timeout_seconds=3)
    with (
        stage.remediator(policy) as remediator,
        Front(remediator.url) as front,
        AlertmanagerServer(remediator.alertmanager_configuration(front.url)) as alertmanager,
    ):
        stage.watch.answers["well"] = None
        fire(alertmanager, ends_in=1.5)
        wait_for(lambda: newest(remediator)[0] == "verifying")
        stage.watch.answers["fault"] = None
        wait_for(lambda: remediator.read("SELECT is_resolved FROM remediation") == [(1,)])

        assert wait_closed(remediator) == "unverified"
        assert stage.generation() == before + 1
        stage.breaks()
        deliver(remediator, 2, round="2")
        wait_held(remediator, "cooldown")
        assert stage.generation() == before + 1
