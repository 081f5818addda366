"""The remediator shares no fate with what it repairs, with itself, or with the host's clock. On a real API server."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.running_remediator import RunningRemediator
from tests.fakes.waiting import wait_for
from tests.system.stage import NAME, Stage, deliver, kinds, newest, wait_closed, wait_held
from tools.servers.postgres import PostgresServer
from tools.servers.redis import RedisServer

pytestmark = pytest.mark.timeout(240)
HOUR = 3600.0


def test_what_is_about_the_remediator_itself_is_held(stage: Stage) -> None:
    """By the alert, or because the target is the Deployment that the process runs in."""
    for name in (NAME, "remediator-of-us"):
        stage.cluster.apply(stage.deployment(name, replicas=1))
    stage.cluster.wait_rolled_out(stage.namespace, "remediator-of-us")
    remediator = stage.remediator(stage.policy(NAME, "remediator-of-us"))
    remediator.environment = {"POD_NAMESPACE": stage.namespace, "POD_NAME": "remediator-of-us-6d4b9c7f5-x2x4z"}
    with remediator:
        deliver(remediator, 1, deployment=NAME, alertname="ControlCoreRemediationLooping")
        deliver(remediator, 2, deployment="remediator-of-us")
        held = "SELECT count(*) FROM remediation WHERE state = 'held' AND reason = 'itself'"
        wait_for(lambda: remediator.read(held) == [(2,)])
        assert kinds(remediator, "intent") == 0


@pytest.mark.parametrize("is_stopped", [False, True], ids=["hang", "are gone"])
def test_webhook_is_durable_while_the_monitored_stores_do_not_answer(
    stage: Stage, postgres_server: PostgresServer, redis_server: RedisServer, *, is_stopped: bool
) -> None:
    """Connected to the product's database when that freezes or ends: alerts are stored, decided, the page is served."""
    stage.deploy()
    before = stage.breaks()
    stage.watch.answers["database"] = 1.0
    policy = stage.policy(dependencies=["database"])
    settings = {"database": {"url": postgres_server.dsn(), "timeout_seconds": 1.0}}
    asked = {"database": {"promql": "database", "collectors": ["postgres"]}}
    with stage.remediator(policy, settings=settings, dependencies=asked) as remediator:
        stores = (postgres_server, redis_server)
        for store in stores:
            store.stop() if is_stopped else store.freeze()
        try:
            stage.watch.answers["database"] = 0.0
            deliver(remediator)
            wait_held(remediator, "dependency_down")
            assert "controlcore_remediation_journal_writable 1.0" in remediator.ask("GET", "/metrics")[1]
            # With a healthy database in the facts there is a repair, but without the data of the database itself.
            stage.watch.answers["database"] = 1.0
            assert wait_closed(remediator) == "succeeded"
        finally:
            for store in stores:
                store.start() if is_stopped else store.thaw()
    assert stage.generation() == before + 1


def test_kill_switch_works_while_the_journal_does_not(stage: Stage, tmp_path: Path) -> None:
    stage.deploy()
    before = stage.breaks()
    stop = tmp_path / "stop"
    settings = {"pause_file": str(stop), "journal": {"timeout_seconds": 1.0}}
    with stage.remediator(settings=settings) as remediator:
        with closing(sqlite3.connect(remediator.journal_path, isolation_level=None)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            stop.write_text("the journal is locked")
            wait_for(lambda: "\ncontrolcore_remediation_paused 1.0" in remediator.ask("GET", "/metrics")[1])
            rival.execute("ROLLBACK")
        deliver(remediator)
        wait_held(remediator, "kill_switch")
        assert stage.generation() == before
        stop.unlink()
        assert wait_closed(remediator) == "succeeded"


def on_host(remediator: RunningRemediator, clock: Path) -> RunningRemediator:
    """The remediator on a host whose clock is off by what the file says."""
    remediator.program = (sys.executable, "-m", "tests.fakes.fake_host", str(clock))
    return remediator


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_step_of_the_clock_ends_no_lease_and_no_cooldown(stage: Stage, tmp_path: Path, seconds: float) -> None:
    """The clock is set while the write is on its way; afterwards the cooldown is as long as it was."""
    stage.deploy()
    stage.breaks()
    clock = tmp_path / "clock"
    clock.write_text("0")
    stage.watch.may_answer.clear()
    with on_host(stage.remediator(stage.policy(cooldown_seconds=900)), clock) as remediator:
        deliver(remediator)
        wait_for(lambda: newest(remediator)[0] == "claimed")
        clock.write_text(str(seconds))
        stage.watch.may_answer.set()
        assert wait_closed(remediator) == "succeeded"
        assert not any(line["event"] == "lease.lost" for line in remediator.log())

        stage.breaks()
        deliver(remediator, 2, round="2")
        wait_held(remediator, "cooldown")
        asked = kinds(remediator, "decision")
        wait_for(lambda: kinds(remediator, "decision") > asked)
        assert any(line["event"] == "clock.stepped" for line in remediator.log())


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_program_started_with_a_clock_one_hour_off_believes_no_condition(
    stage: Stage, tmp_path: Path, seconds: float
) -> None:
    stage.deploy()
    before = stage.breaks()
    clock = tmp_path / "clock"
    clock.write_text(str(seconds))
    with on_host(stage.remediator(), clock) as remediator:
        deliver(remediator)
        wait_held(remediator, "condition_unknown")
    assert stage.generation() == before
