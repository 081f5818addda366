"""Workers in trouble: hung calls, answers that never come, paused processes. On a real API server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fakes.faulty_proxy import EVERYTHING, Fault
from tests.fakes.running_remediator import RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.system.stage import LEASE_SECONDS, OPERATION, WORKER, Stage, deliver, newest, notifications, wait_closed
from tools.servers.alertmanager import AlertmanagerServer
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(240)
POSTS = 10


def claims(remediator: RunningRemediator) -> list[tuple[float, str]]:
    """When the newest remediation was claimed, and by which worker."""
    rows = remediator.read(
        "SELECT at, json_extract(data, '$.worker') FROM record WHERE kind = 'claimed'"
        " AND remediation = (SELECT max(id) FROM remediation) ORDER BY number"
    )
    return [(float(at), str(worker)) for at, worker in rows]


def test_api_server_that_hangs_delays_no_webhook_and_is_sent_one_plan(stage: Stage) -> None:
    """Alertmanager keeps repeating; all abandoned writes arrive late."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(Fault.LATE, {"PATCH"})
    with (
        stage.remediator() as remediator,
        AlertmanagerServer(remediator.alertmanager_configuration(repeat_interval="1s")) as alertmanager,
    ):
        alertmanager.post_alerts([{"labels": an_alert()["labels"], "startsAt": "2026-11-23T10:00:00Z"}])
        assert stage.front.arrived.wait(scaled(30))
        # The write hangs, and it is tried again: the API server has not answered one of them.
        wait_for(lambda: stage.front.seen.count(("PATCH", stage.path())) >= 2)
        for number in range(POSTS):
            assert remediator.post(an_alert(number, deployment=f"other-{number}"), timeout_seconds=10) == 200
        wait_for(lambda: notifications(remediator, "stored") >= POSTS + 2)
        assert notifications(remediator, "unavailable") == 0
        assert stage.front.statuses.count(("PATCH", 200)) == 0

        stage.front.heal()
        stage.front.release()
        wait_for(lambda: remediator.read("SELECT state FROM remediation ORDER BY id LIMIT 1") == [("succeeded",)])
        assert stage.generation() == before + 1
        assert stage.front.statuses.count(("PATCH", 200)) == 1
        plans = remediator.read(
            "SELECT count(DISTINCT json_extract(data, '$.operation_id')) FROM record WHERE kind = 'intent'"
        )
        assert plans == [(1,)]


def test_write_whose_answer_was_lost_is_not_made_again(stage: Stage) -> None:
    """Killed after the API server has stored the write and before the journal has."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(Fault.LOST, {"PATCH"})
    with stage.remediator() as remediator:
        deliver(remediator)
        assert stage.front.arrived.wait(scaled(30))
        assert newest(remediator)[0] == "writing"
        remediator.kill()
        stage.front.heal()
        remediator.start()

        assert wait_closed(remediator) == "succeeded"
        assert stage.generation() == before + 1
        assert stage.front.statuses.count(("PATCH", 200)) == 1
        (identifier,) = remediator.read("SELECT id FROM remediation")[0]
        assert stage.read()["metadata"]["annotations"][OPERATION] == identifier


def test_worker_that_was_paused_while_it_wrote_writes_nothing_more(stage: Stage, tmp_path: Path) -> None:
    """Stopped with a write in flight, for longer than its lease; another process on the same journal takes over."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(Fault.LATE, {"PATCH"})
    # One worker: a process that is stopped in the middle of a commit would keep the file locked.
    alone = {"worker": WORKER | {"concurrency": 1}}
    with stage.remediator(settings=alone) as stale:
        place = {"path": str(stale.journal_path), "is_shared_accepted": True}
        deliver(stale)
        assert stage.front.arrived.wait(scaled(30))
        stale.freeze()
        stage.front.heal()
        with stage.remediator(settings={"journal": place}):
            assert wait_closed(stale) == "succeeded"
            stage.front.release()
            wait_for(lambda: ("PATCH", 409) in stage.front.statuses)
            stale.thaw()
            wait_for(lambda: any(line["event"] == "lease.lost" for line in stale.log()))

        assert stale.read("SELECT fence >= 2, state FROM remediation") == [(1, "succeeded")]
        assert stage.generation() == before + 1
        # It still works: it stores and decides new alerts.
        stage.watch.answers["fault"] = 0.0
        deliver(stale, 2, round="2")
        assert wait_closed(stale) == "not_needed"


def test_worker_that_died_in_its_step_is_followed_by_one_of_the_same_name(stage: Stage, tmp_path: Path) -> None:
    """A restarted container has the host name and the process number of the one before: only the fence differs."""
    stage.deploy()
    before = stage.breaks()
    clock = tmp_path / "clock"
    clock.write_text("0")
    stage.front.fail(Fault.LATE, {"PATCH"})
    remediator = stage.remediator()
    remediator.program = (sys.executable, "-m", "tests.fakes.fake_host", str(clock))
    with remediator:
        deliver(remediator)
        assert stage.front.arrived.wait(scaled(30))
        remediator.kill()
        stage.front.heal()
        remediator.start()

        assert wait_closed(remediator) == "succeeded"
        (_, first), (taken_up_at, second), *_ = claims(remediator)
        assert first.rpartition("-")[0] == second.rpartition("-")[0]
        started = [line for line in remediator.log() if line["event"] == "program.started"]
        assert len(started) == 2
        ended = remediator.read("SELECT min(at) FROM record WHERE kind = 'intent'")[0][0] + LEASE_SECONDS
        assert taken_up_at <= ended + 4 * LEASE_SECONDS
        stage.front.release()
        wait_for(lambda: ("PATCH", 409) in stage.front.statuses)
        assert stage.generation() == before + 1


def test_way_to_the_api_that_swallows_everything_holds_up_nobody(stage: Stage) -> None:
    """The write is stored, its answer never comes, and no reading of the object is answered either."""
    stage.deploy()
    before = stage.breaks()
    stage.front.fail(Fault.LOST, {"PATCH"})
    with stage.remediator() as remediator:
        deliver(remediator)
        assert stage.front.arrived.wait(scaled(30))
        stage.front.fail(Fault.LATE, EVERYTHING)
        looks = "SELECT count(*) FROM record WHERE kind = 'write' AND json_extract(data, '$.result') = 'unknown'"
        wait_for(lambda: remediator.read(looks)[0][0] >= 2)
        deliver(remediator, 2, deployment="other")
        wait_for(
            lambda: remediator.read("SELECT reason FROM remediation ORDER BY id DESC LIMIT 1") == [("condition_gone",)]
        )

        stage.front.heal()
        wait_for(lambda: remediator.read("SELECT state FROM remediation ORDER BY id LIMIT 1") == [("succeeded",)])
        assert stage.generation() == before + 1
        assert stage.front.statuses.count(("PATCH", 200)) == 1
