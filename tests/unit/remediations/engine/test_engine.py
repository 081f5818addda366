"""The engine's handling of decisions, pauses and our own bugs."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from itertools import pairwise

import pytest
import structlog

from chassis.errors import InvariantBroken, Reason, TransientError
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Pause
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.remediation import State
from tests.fakes.decisions import NOW, SAM
from tests.fakes.engine import World
from tests.fakes.kubernetes import DEPLOYMENT


async def test_fault_is_repaired_once_and_proven(world: World):
    await world.deliver()

    await world.work(world.engine())

    remediation = await world.newest()
    assert (remediation.state, remediation.reason, remediation.attempts) == (State.SUCCEEDED, "succeeded", 1)
    assert world.generation == 4
    assert world.cluster.objects[DEPLOYMENT]["metadata"]["annotations"][ANNOTATION_OPERATION] == remediation.id
    labels = {"remediation": "restart-api"}
    assert world.count("remediation_decisions_total", decision="act", reason="guards_passed", **labels) == 1
    action = {"action": "restart_workload", **labels}
    assert world.count("remediation_actions_total", outcome="written", **action) == 1
    assert world.count("remediation_actions_total", outcome="succeeded", **action) == 1
    assert world.count("remediation_alert_to_write_seconds_count") == 1


async def test_work_that_does_not_end_says_what_it_waits_for(world: World):
    world.prometheus.answers["controlcore_postgres_up == bool 1"] = False
    await world.deliver()
    with pytest.raises(AssertionError, match=r"restart-api is held: dependency_down: .*postgres"):
        await world.work(world.engine())


async def test_decision_is_journalled_with_guards_and_facts(world: World):
    await world.deliver()

    await world.engine().turn("worker")

    (record,) = await world.records("decision")
    assert record.data["decision"] == "act"
    assert [item["guard"] for item in record.data["guards"]][:2] == ["kill_switch", "expiry"]
    assert record.data["facts"]["workload"]["value"]["uid"] == "uid-1"
    assert record.data["facts"]["witnesses"]["pods"]["value"] is True


async def test_unknown_condition_holds_and_is_asked_again(world: World):
    world.prometheus.answers = {}
    await world.deliver()
    engine = world.engine()

    await engine.turn("worker")
    remediation = await world.newest()

    assert (remediation.state, remediation.reason) == (State.HELD, "condition_unknown")
    assert not await engine.turn("worker")
    await world.clock.advance(15.0)
    assert await engine.turn("worker")
    assert world.generation == 3


async def test_hold_is_logged_once_and_again_when_its_reason_changes(world: World):
    """It was a line at level info every few seconds for as long as the hold lasted."""
    down = {**world.prometheus.answers, "controlcore_postgres_up == bool 1": False}
    await world.deliver()
    engine = world.engine()
    with structlog.testing.capture_logs() as lines:
        for answers in ({}, {}, down, down):
            world.prometheus.answers = answers
            assert await engine.turn("worker")
            await world.clock.advance(15.0)
    held = [(line["log_level"], line["reason"]) for line in lines if line["event"] == "decision.held"]
    assert held == [
        ("info", "condition_unknown"),
        ("debug", "condition_unknown"),
        ("info", "dependency_down"),
        ("debug", "dependency_down"),
    ]


async def test_dependency_down_holds_then_the_remediation_is_not_needed(world: World):
    """The database was the root: when it is back the API is well, and nothing is restarted."""
    healthy = dict(world.prometheus.answers)
    world.prometheus.answers = {**healthy, "controlcore_postgres_up == bool 1": False}
    await world.deliver()
    engine = world.engine()
    await engine.turn("worker")
    assert (await world.newest()).reason == "dependency_down"

    world.prometheus.answers = {**healthy, "controlcore_api_up == bool 0": False}
    await world.work(engine)

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.NOT_NEEDED, "condition_gone")
    assert (world.generation, remediation.written_at) == (3, None)


async def test_hold_that_never_ends_expires(world: World):
    world.prometheus.answers = {}
    await world.deliver()

    await world.work(world.engine(), turns=80, seconds=15.0)

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.EXPIRED, "expired")
    assert remediation.updated_at - NOW < 900 + 30


async def test_pause_in_the_journal_stops_a_running_engine_at_the_next_decision(world: World):
    engine = world.engine()
    await world.journal.pause(Pause("night", "ops", "freeze", None), world.clock.now(), SAM)
    await world.deliver()

    await engine.turn("worker")
    assert (await world.newest()).reason == "kill_switch"

    await world.journal.resume("night", world.clock.now(), SAM)
    await world.work(engine, seconds=15.0)
    assert (await world.newest()).state is State.SUCCEEDED


async def test_pause_file_stops_it_too(world: World):
    await asyncio.to_thread(world.pause_file.touch)
    await world.deliver()

    await world.engine().turn("worker")

    assert (await world.newest()).reason == "kill_switch"
    assert world.generation == 3


async def test_pause_set_while_facts_are_gathered_counts(world: World):
    """The switch is read after the facts, immediately before the decision."""
    await world.deliver()

    def pause_now(verb: str, _path: str) -> None:
        if verb == "list":
            world.pause_file.touch()

    world.cluster.after = pause_now
    await world.engine().turn("worker")

    assert (await world.newest()).reason == "kill_switch"


async def test_without_kubernetes_workload_actions_are_held(world: World):
    await world.deliver()
    world.web.answer = TransientError(Reason.TIMEOUT, "slow")

    await world.engine(has_cluster=False).turn("worker")

    assert (await world.newest()).reason == "no_orchestrator"


async def test_policy_that_was_taken_out_of_the_file_acts_no_more(world: World):
    await world.deliver()
    world.policy_set = replace(world.policy_set, policies=())
    engine = world.engine()

    await engine.turn("worker")
    assert ((await world.newest()).state, (await world.newest()).reason) == (State.HELD, "not_allowed")

    await world.work(engine, turns=80, seconds=15.0)
    assert (await world.newest()).state is State.EXPIRED
    assert world.count("remediation_decisions_total", remediation="unknown", decision="hold", reason="not_allowed") > 0


async def test_fault_of_our_own_rests_and_leaves_the_others_alone(world: World, logged: io.StringIO):
    await world.deliver()
    engine = world.engine()
    world.web.answer = ValueError("a fault of our own")

    assert await engine.turn("worker")
    assert world.count("remediation_engine_errors_total") == 1
    assert '"event": "engine.step_failed"' in logged.getvalue()
    assert not await engine.turn("worker")

    world.web.answer = TransientError(Reason.TIMEOUT, "slow")
    await world.work(engine)
    assert (await world.newest()).state is State.SUCCEEDED


async def test_fault_that_stays_is_tried_less_and_less_often(world: World, logged: io.StringIO):
    """R3's kind: a fault before the intent was retried every 5 s without end, with two records each time."""
    await world.deliver()
    engine = world.engine()
    world.web.answer = ValueError("a fault of our own")

    tried = []
    for second in range(0, 2 * 3600, 5):
        world.clock.pass_by(5.0)
        if await engine.turn("worker"):
            tried.append(second)

    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(pauses[6:]) == {300}

    world.web.answer = TransientError(Reason.TIMEOUT, "slow")
    world.clock.pass_by(300.0)
    await engine.turn("worker")
    assert (await world.newest()).state is State.EXPIRED


async def test_broken_invariant_stops_the_engine(world: World):
    await world.deliver()
    world.set_policy(action="no_such_action")

    with pytest.raises(InvariantBroken):
        await world.engine().turn("worker")


async def test_engine_ends_when_told_and_finishes_its_step(world: World):
    await world.deliver()
    stop = asyncio.Event()
    engine = world.engine()
    world.cluster.after = lambda verb, _path: stop.set() if verb == "patch" else None

    await engine.run(stop)

    assert (await world.newest()).state is State.VERIFYING


async def test_news_wakes_an_idle_engine(world: World):
    engine = world.engine()
    stop = asyncio.Event()
    world.cluster.after = lambda verb, _path: stop.set() if verb == "patch" else None

    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run(stop))
        await world.deliver()
        engine.wake()

    assert world.generation == 4


async def test_journal_that_fails_is_complained_about_once_and_worked_on_later(world: World):
    engine = world.engine()
    broken = JournalError("the disk is full")

    class Broken:
        async def claim(self, *_arguments: object) -> None:
            raise broken

    desk = engine._parts.desk
    engine._parts = replace(engine._parts, desk=replace(desk, journal=Broken()))
    async with asyncio.TaskGroup() as group:
        turn = group.create_task(engine.turn("worker"))
        await world.clock.wait_until_sleeping()
        await world.clock.advance(1.0)

    assert turn.result() is False
