"""Known faults of alert receivers when receiving, each against the program as its user runs it.

The numbers are those of a longer list: the files beside this one have the others.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes.faulty_proxy import Fault, Front
from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import notifications
from tools.servers.alertmanager import AlertmanagerServer
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(240)
LARGE_BYTES = 14 * 1024 * 1024
"""Two of these are worked on at once, a third is too much."""


@pytest.fixture
def remediator() -> Iterator[RunningRemediator]:
    with RunningRemediator(settings={"journal": {"timeout_seconds": 6.0}}) as server:
        yield server


def fire(alertmanager: AlertmanagerServer, **labels: str) -> None:
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    alertmanager.post_alerts([{"labels": {**an_alert()["labels"], **labels}, "startsAt": starts}])


def count(remediator: RunningRemediator) -> int:
    return int(remediator.read("SELECT count(*) FROM remediation")[0][0])


def locked(remediator: RunningRemediator) -> ExitStack:
    """Keeps the journal locked as another process would."""
    stack = ExitStack()
    rival = sqlite3.connect(remediator.journal_path, isolation_level=None)
    stack.callback(rival.close)
    rival.execute("BEGIN IMMEDIATE")
    stack.callback(rival.execute, "ROLLBACK")
    return stack


def test_alert_whose_receiver_is_killed_at_any_point_arrives(remediator: RunningRemediator) -> None:
    """Half of the body has arrived; all of it, and the commit waits; committed, but not acknowledged."""
    with (
        Front(remediator.url) as front,
        AlertmanagerServer(remediator.alertmanager_configuration(front.url)) as alertmanager,
    ):
        # Each alert is a separate group, so that none is part of another's delivery.
        points = (Fault.HALF, None, Fault.LOST)
        for number, point in enumerate(points, start=1):
            with ExitStack() as stack:
                if point is None:
                    stack.enter_context(locked(remediator))
                else:
                    front.fail(point, {"POST"})
                seen = len(front.seen)
                fire(alertmanager, alertname=f"Alert{number}", deployment=f"app-{number}")
                wait_for(lambda seen=seen: len(front.seen) > seen)
                if point is not None:
                    assert front.arrived.wait(scaled(30))
                remediator.kill()
                assert count(remediator) == number - (point is not Fault.LOST)
            front.heal()
            front.release()
            remediator.start()
            wait_for(lambda number=number: count(remediator) == number)
        # What had been stored and was sent again has begun nothing new.
        wait_for(lambda: remediator.read("SELECT count(*) FROM record WHERE kind = 'joined'")[0][0] >= 1)
        assert count(remediator) == len(points)


def test_what_was_refused_is_accepted_when_it_is_repeated(remediator: RunningRemediator) -> None:
    """Nothing is marked as seen before it is stored: the journal is locked for the first delivery of each."""
    alerts = [an_alert(number, deployment=f"app-{number}") for number in range(50)]
    with locked(remediator):
        assert remediator.post(*alerts, timeout_seconds=60) == 503
    assert remediator.post(*alerts) == 200
    assert count(remediator) == 50


def test_more_than_can_be_held_is_503_until_there_is_room(remediator: RunningRemediator) -> None:
    """Two of three large deliveries wait for the disk; the third is refused at once, and accepted after them."""
    answers: dict[int, int] = {}

    def post(number: int) -> None:
        body = json.dumps({"version": "4", "alerts": [an_alert(number, deployment=f"app-{number}")]}).encode()
        answers[number] = remediator.post_body(body + b" " * LARGE_BYTES, timeout_seconds=60)

    threads = [threading.Thread(target=post, args=(number,)) for number in range(3)]
    with locked(remediator):
        for thread in threads:
            thread.start()
        wait_for(lambda: answers)
        ((refused, status),) = answers.items()
    for thread in threads:
        thread.join()
    # Refused before its body was read: a sender that is still writing may not see the answer.
    assert status in {503, 0}
    assert notifications(remediator, "unavailable") == 1
    assert sorted(answers.values()) == sorted([200, 200, status])
    post(refused)
    assert answers[refused] == 200
    assert count(remediator) == 3


def test_overload_is_an_error_that_alertmanager_tries_again(remediator: RunningRemediator) -> None:
    """Five thousand alerts in one body while the journal is locked: repeated 503, and then all are stored."""
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    labels = [an_alert(deployment=f"app-{number}", filler="x" * 400)["labels"] for number in range(5000)]
    with (
        Front(remediator.url) as front,
        AlertmanagerServer(remediator.alertmanager_configuration(front.url)) as alertmanager,
    ):
        front.fail(Fault.STATUS, {"POST"}, 503)
        alertmanager.post_alerts([{"labels": each, "startsAt": starts} for each in labels])
        wait_for(lambda: len(front.seen) >= 3)
        front.heal()
        wait_for(lambda: count(remediator) == 5000)
        assert front.statuses[0] == ("POST", 200)


def test_bad_alert_among_good_ones_is_set_aside_alone(remediator: RunningRemediator) -> None:
    good = [an_alert(number, deployment=f"app-{number}") for number in range(3)]
    body = json.dumps({"version": "4", "alerts": [*good, {"status": "?"}], "truncatedAlerts": 3}).encode()

    assert remediator.post_body(body) == 200

    page = remediator.ask("GET", "/metrics")[1]
    assert count(remediator) == 3
    assert remediator.read("SELECT count(*) FROM quarantine") == [(1,)]
    assert "controlcore_remediation_webhook_truncated_alerts_total 3.0" in page


@pytest.mark.parametrize("token", [None, "wrong-token-of-nobody"])
def test_nobody_gets_in_and_nothing_outside_the_list_is_chosen(
    remediator: RunningRemediator, token: str | None
) -> None:
    assert remediator.post(an_alert(), token=token) == 401
    hostile = [an_alert(1, namespace="kube-system"), an_alert(2, deployment="../x"), an_alert(3, deployment="x" * 9999)]
    assert remediator.post(*hostile) == 200

    wait_for(lambda: remediator.read("SELECT count(*) FROM remediation WHERE reason = 'not_allowed'") == [(3,)])


def test_hostile_labels_leave_every_log_line_whole_and_add_no_series(remediator: RunningRemediator) -> None:
    before = {line.split(" ")[0] for line in remediator.ask("GET", "/metrics")[1].splitlines()}
    hostile = ['"} or vector(1)', "a\nb", "ld_preload=x", "\u202e", "$(reboot)", "'; DROP TABLE remediation; --"]
    alerts = [an_alert(number, deployment=value, x=value) for number, value in enumerate(hostile)]

    assert remediator.post(*alerts) == 200
    wait_for(lambda: remediator.read("SELECT count(*) FROM remediation WHERE state = 'held'") == [(len(hostile),)])

    after = {line.split(" ")[0] for line in remediator.ask("GET", "/metrics")[1].splitlines()}
    # The token file is read with the first delivery.
    expected = {"controlcore_remediator_credentials_readable"}
    assert {name for name in after - before if "not_allowed" not in name} <= expected
    for line in remediator.log_path.read_text().splitlines():
        json.loads(line)
