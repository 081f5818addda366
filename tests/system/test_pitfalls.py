"""What receivers of alerts are known to get wrong, each against the program as its user runs it.

The numbers are those of a longer list; what needs a cluster to act on stands elsewhere: the kills in `test_kills.py`,
owners and disruptions in the scenarios, conflicts in `tests/integration/test_cluster.py`.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.remediations.running import RemediatorServer, an_alert
from tools.servers.alertmanager import AlertmanagerServer

pytestmark = pytest.mark.timeout(240)
REPLICAS = ("a", "b")


@pytest.fixture
def remediator() -> Iterator[RemediatorServer]:
    with RemediatorServer() as server:
        yield server


def wait_for(is_reached: Callable[[], object], timeout_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_reached():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def configuration(remediator: RemediatorServer, repeat: str = "1h") -> str:
    return f"""
route: {{receiver: remediator, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: {repeat}}}
receivers:
  - name: remediator
    webhook_configs:
      - url: {remediator.url}/api/v1/alerts
        max_alerts: 0
        http_config: {{authorization: {{credentials_file: {remediator.token_path}}}}}
"""


def fire(alertmanager: AlertmanagerServer, seconds_ago: float = 0.0, **labels: str) -> None:
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds_ago))
    alertmanager.post_alerts([{"labels": {**an_alert()["labels"], **labels}, "startsAt": starts}])


def stored(remediator: RemediatorServer) -> float:
    """Webhook requests that were stored since the start."""
    page = remediator.ask("GET", "/metrics")[1]
    name = 'controlcore_remediation_webhook_notifications_total{status="stored"}'
    return float(next(line for line in page.splitlines() if line.startswith(name)).rsplit(" ", 1)[1])


def count(remediator: RemediatorServer) -> int:
    return int(remediator.read("SELECT count(*) FROM remediation")[0][0])


def test_pitfall_01_alert_fired_while_the_receiver_is_killed_arrives(remediator: RemediatorServer) -> None:
    with AlertmanagerServer(configuration(remediator)) as alertmanager:
        remediator.kill()
        fire(alertmanager)
        wait_for(alertmanager.alerts)
        remediator.start()
        wait_for(lambda: count(remediator) == 1)


def test_pitfall_02_what_was_refused_is_accepted_when_it_is_repeated(remediator: RemediatorServer) -> None:
    """Nothing is marked as seen before it is stored: the journal is locked for the first delivery of each."""
    alerts = [an_alert(number, deployment=f"app-{number}") for number in range(50)]
    with locked(remediator):
        assert remediator.post(*alerts, timeout_seconds=60) == 503
    assert remediator.post(*alerts) == 200
    assert count(remediator) == 50


def locked(remediator: RemediatorServer) -> ExitStack:
    """Keeps the journal locked as another process would."""
    stack = ExitStack()
    rival = sqlite3.connect(remediator.journal_path, isolation_level=None)
    stack.callback(rival.close)
    rival.execute("BEGIN IMMEDIATE")
    stack.callback(rival.execute, "ROLLBACK")
    return stack


def test_pitfall_03_storm_of_5000_in_one_body_and_a_bad_one_among_them(remediator: RemediatorServer) -> None:
    storm = [an_alert(number, deployment=f"app-{number}", filler="x" * 400) for number in range(5000)]
    body = json.dumps({"version": "4", "alerts": [*storm, {"status": "?"}], "truncatedAlerts": 3}).encode()
    assert len(body) > 5_000_000

    assert remediator.post_body(body, timeout_seconds=60) == 200

    page = remediator.ask("GET", "/metrics")[1]
    assert count(remediator) == 5000
    assert remediator.read("SELECT count(*) FROM quarantine") == [(1,)]
    assert "controlcore_remediation_webhook_truncated_alerts_total 3.0" in page


def test_pitfall_05_two_clustered_alertmanagers_begin_one_remediation(remediator: RemediatorServer) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(AlertmanagerServer(configuration(remediator), is_clustered=True))
        second = stack.enter_context(AlertmanagerServer(configuration(remediator), peers=(first,)))
        remediator.kill()
        for alertmanager in (first, second):
            fire(alertmanager)
        wait_for(lambda: first.alerts() and second.alerts())
        remediator.start()
        wait_for(lambda: count(remediator) == 1)
        time.sleep(5.0)  # the second sender's turn, if it thinks that it has one
        assert count(remediator) == 1


def test_pitfall_06_moved_start_and_other_replica_are_the_same_alert(remediator: RemediatorServer) -> None:
    with ExitStack() as stack:
        senders = [stack.enter_context(AlertmanagerServer(configuration(remediator))) for _ in REPLICAS]
        for seconds, (sender, replica) in zip((0.0, 7.0), zip(senders, REPLICAS, strict=True), strict=True):
            fire(sender, seconds, prometheus_replica=replica)
        wait_for(lambda: stored(remediator) >= 2)

    assert count(remediator) == 1
    kinds = remediator.read("SELECT DISTINCT kind FROM record WHERE kind IN ('received', 'joined') ORDER BY kind")
    assert kinds == [("joined",), ("received",)]


def test_pitfall_07_resolved_is_a_hint_and_closes_nothing(remediator: RemediatorServer) -> None:
    alert = an_alert()
    assert remediator.post(alert) == 200
    assert remediator.post({**alert, "status": "resolved"}) == 200

    assert remediator.read("SELECT is_resolved, state IN ('held', 'claimed', 'received') FROM remediation") == [(1, 1)]


@pytest.mark.parametrize("token", [None, "wrong-token-of-nobody"])
def test_pitfall_13_nobody_gets_in_and_nothing_outside_the_list_is_chosen(
    remediator: RemediatorServer, token: str | None
) -> None:
    assert remediator.post(an_alert(), token=token) == 401
    hostile = [an_alert(1, namespace="kube-system"), an_alert(2, deployment="../x"), an_alert(3, deployment="x" * 9999)]
    assert remediator.post(*hostile) == 200

    wait_for(lambda: remediator.read("SELECT count(*) FROM remediation WHERE reason = 'not_allowed'") == [(3,)])


def test_pitfall_14_hostile_labels_leave_every_log_line_whole_and_add_no_series(remediator: RemediatorServer) -> None:
    before = {line.split(" ")[0] for line in remediator.ask("GET", "/metrics")[1].splitlines()}
    hostile = ['"} or vector(1)', "a\nb", "ld_preload=x", "\u202e", "$(reboot)", "'; DROP TABLE remediation; --"]
    alerts = [an_alert(number, deployment=value, x=value) for number, value in enumerate(hostile)]

    assert remediator.post(*alerts) == 200
    wait_for(lambda: remediator.read("SELECT count(*) FROM remediation WHERE state = 'held'") == [(len(hostile),)])

    after = {line.split(" ")[0] for line in remediator.ask("GET", "/metrics")[1].splitlines()}
    assert {name for name in after - before if "not_allowed" not in name} == set()
    for line in remediator.log_path.read_text().splitlines():
        json.loads(line)
