"""What holds for the whole program: acknowledged means durable, refused means refused, small means small."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.running_remediator import POLICIES, TOKEN, RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.process import Process
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(180)
RSS_LIMIT_KIB = 128 * 1024
STORM = 5000


@pytest.fixture
def remediator(request):
    with RunningRemediator(settings=getattr(request, "param", None)) as server:
        yield server


def rss_kib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1]])
def test_no_route_but_the_open_ones_lets_anybody_in_without_the_token(remediator, token):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    paths = ("/api/v1/alerts", "/api/v1/remediations", "/api/v1/pause", "/-/reload", "/debug", "/metrics/x", "/x")

    answers = {
        (method, path): remediator.ask(method, path, b"{}", headers)[0]
        for path in paths
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }

    assert set(answers.values()) == {401}
    assert remediator.read("SELECT count(*) FROM remediation") == [(0,)]


def test_replaced_token_is_accepted_without_a_restart(remediator):
    assert remediator.post(an_alert()) == 200
    remediator.token_path.write_text("another-token-of-the-test")

    wait_for(lambda: remediator.post(an_alert(), token="another-token-of-the-test") == 200)

    assert remediator.post(an_alert()) == 401


def test_storm_in_one_request_is_stored_and_the_program_stays_small(remediator):
    """5,000 alerts, more than 5 MiB; aiohttp's default limit would always refuse them."""
    storm = [an_alert(number, deployment=f"app-{number}", filler="x" * 400) for number in range(STORM)]

    assert remediator.post(*storm, timeout_seconds=30) == 200
    assert remediator.post(*storm, timeout_seconds=30) == 200

    assert remediator.read("SELECT count(*) FROM remediation") == [(STORM,)]
    assert rss_kib(remediator.process) <= RSS_LIMIT_KIB


@pytest.mark.parametrize("remediator", [{"journal": {"timeout_seconds": 1.0}}], indirect=True)
def test_journal_locked_by_another_process_is_503_until_it_is_free(remediator):
    with closing(sqlite3.connect(remediator.journal_path, isolation_level=None)) as rival:
        rival.execute("BEGIN IMMEDIATE")

        assert remediator.post(an_alert()) == 503
        assert remediator.ask("GET", "/-/healthy")[0] == 200
        assert remediator.ask("GET", "/-/ready")[0] == 503
        assert "controlcore_remediation_journal_writable 0.0" in remediator.ask("GET", "/metrics")[1]

        rival.execute("ROLLBACK")
    wait_for(lambda: remediator.post(an_alert()) == 200)


def test_full_disk_is_503_and_nothing_was_acknowledged(remediator):
    """No file may grow any more: what a full file system does, and root is not exempt."""
    pid = remediator.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        storm = [an_alert(number, deployment=f"app-{number}") for number in range(50)]
        assert remediator.post(*storm) == 503
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    assert remediator.read("SELECT count(*) FROM remediation") == [(0,)]
    assert remediator.post(an_alert()) == 200


def test_damaged_journal_is_refused_at_the_start_with_a_sentence(remediator):
    remediator.stop()
    remediator.journal_path.write_bytes(b"this is no database " * 500)

    ended = subprocess.run(remediator.command("serve"), capture_output=True, text=True, timeout=scaled(30), check=False)

    assert ended.returncode == 1
    assert "not an SQLite database" in ended.stderr


def test_without_a_credential_the_program_ends_at_once(remediator):
    remediator.stop()
    remediator.token_path.unlink()

    ended = subprocess.run(remediator.command("serve"), capture_output=True, text=True, timeout=scaled(30), check=False)

    assert ended.returncode == 2
    assert "server.token_file" in ended.stderr


def test_port_that_is_taken_ends_the_program_with_a_sentence(remediator, tmp_path):
    another = os.environ | {"CONTROLCORE_REMEDIATOR_JOURNAL__PATH": str(tmp_path / "journal.db")}
    ended = subprocess.run(
        remediator.command("serve"), capture_output=True, text=True, timeout=scaled(60), check=False, env=another
    )

    assert ended.returncode == 2
    assert "server.port: cannot listen on" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_acknowledged_alert_survives_a_kill_at_any_moment(remediator):
    acknowledged: set[str] = set()
    is_over = threading.Event()

    def deliver() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            alert = an_alert(number, deployment=f"app-{number}")
            if remediator.post(alert, timeout_seconds=5) == 200:
                acknowledged.add(alert["fingerprint"])

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        for _ in range(3):
            before = len(acknowledged)
            wait_for(lambda before=before: len(acknowledged) > before + 20)
            remediator.kill()
            remediator.start()
    finally:
        is_over.set()
        thread.join()

    stored = {row[0] for row in remediator.read("SELECT json_extract(alert, '$.fingerprint') FROM remediation")}
    assert len(acknowledged) > 60
    assert acknowledged - stored == set()


def test_alert_fired_while_nobody_listens_arrives_by_alertmanagers_own_retries(remediator):
    with AlertmanagerServer(remediator.alertmanager_configuration(group_wait="1s")) as alertmanager:
        remediator.kill()
        labels = an_alert()["labels"]
        alertmanager.post_alerts([{"labels": labels, "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}])
        wait_for(alertmanager.alerts)
        remediator.start()

        wait_for(lambda: remediator.read("SELECT count(*) FROM remediation") == [(1,)])


def test_alert_naming_an_object_outside_the_list_is_held_with_that_reason(remediator):
    hostile = [
        an_alert(1, namespace="kube-system", deployment="coredns"),
        an_alert(2, deployment="../../../etc"),
        an_alert(3, deployment="\u0441ontrol-plane-api"),
        an_alert(4, deployment="x" * 10_000),
        an_alert(5, deployment='"} or vector(1)\n'),
    ]

    assert remediator.post(*hostile) == 200

    wait_for(lambda: remediator.read("SELECT count(*) FROM remediation WHERE reason = 'not_allowed'") == [(5,)])
    for line in remediator.log_path.read_text().splitlines():
        assert line.startswith("{")
        assert line.endswith("}")


def test_alert_of_another_cluster_is_held_as_foreign(remediator):
    remediator.post(an_alert(cluster="production"))

    wait_for(lambda: remediator.read("SELECT reason FROM remediation") == [("foreign_target",)])


def test_without_prometheus_the_condition_is_unknown_and_held(remediator):
    remediator.post(an_alert())

    wait_for(lambda: remediator.read("SELECT state, reason FROM remediation") == [("held", "condition_unknown")])


@pytest.mark.parametrize("text", ["policies: []", "policies: !!bool foo", "identity: !!set [a]"])
def test_hangup_reads_the_policies_again_and_a_broken_file_changes_nothing(remediator, text):
    """M6: also one whose values are not of their tags."""
    remediator.policies_path.write_text(text)
    remediator.process  # noqa: B018 - raises when it does not run
    signal_process(remediator, signal.SIGHUP)
    wait_for(lambda: any(line["event"] == "policies.refused" for line in remediator.log()))
    assert remediator.post(an_alert()) == 200
    assert remediator.read("SELECT policy FROM remediation") == [("restart-api",)]

    pause = remediator.command("pause", "restart-api", "--reason", "r")
    remediator.policies_path.write_text(POLICIES)
    subprocess.run(pause, check=True, timeout=scaled(30))
    remediator.policies_path.write_text(POLICIES.replace("restart-api", "other-name"))
    signal_process(remediator, signal.SIGHUP)
    wait_for(lambda: any(line["event"] == "pause.unmatched" for line in remediator.log()))
    remediator.post(an_alert(2, remediation="other-name"))
    assert remediator.read("SELECT policy FROM remediation ORDER BY id DESC LIMIT 1") == [("other-name",)]


def test_hangup_names_the_settings_that_need_a_restart(remediator):
    path = remediator.settings_path
    path.write_text(path.read_text() + "worker: {concurrency: 2}\n")

    signal_process(remediator, signal.SIGHUP)

    def warned() -> list[dict]:
        return [line for line in remediator.log() if line["event"] == "settings.changed"]

    wait_for(lambda: bool(warned()))
    assert [line["settings"] for line in warned()] == [["worker.concurrency"]]


def test_termination_ends_with_status_zero(remediator):
    process = remediator.process

    signal_process(remediator, signal.SIGTERM)

    wait_for(lambda: not process.is_running)
    assert process.exit_status == 0
    assert remediator.log()[-1]["event"] == "program.stopped"


def signal_process(remediator: RunningRemediator, number: int) -> None:
    subprocess.run(["kill", f"-{number}", str(remediator.process.pid)], check=True)


def test_pause_from_the_command_line_reaches_the_running_program(remediator):
    subprocess.run(remediator.command("pause", "night", "--reason", "freeze"), check=True, timeout=scaled(30))

    remediator.post(an_alert())

    wait_for(lambda: remediator.read("SELECT reason FROM remediation") == [("kill_switch",)])
    shown = subprocess.run(
        remediator.command("show", "last"), check=True, timeout=scaled(30), capture_output=True, text=True
    ).stdout
    assert "held: paused (night by" in shown
    assert "pause night by" in shown


def test_second_process_on_one_journal_is_refused_by_name_unless_that_is_accepted(remediator):
    """It would start, be ready and say nothing, and every decision would be made twice."""
    ended = subprocess.run(remediator.command("serve"), timeout=scaled(30), capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert f"process {remediator.process.pid} on " in ended.stderr
    assert "already serves this journal; stop it first" in ended.stderr
    assert remediator.post(an_alert()) == 200

    place = {"path": str(remediator.journal_path), "is_shared_accepted": True}
    with RunningRemediator(settings={"journal": place}) as beside:
        assert [line["path"] for line in beside.log() if line["event"] == "journal.shared"] == [place["path"]]
