from __future__ import annotations

import asyncio
import copy
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from chassis import log
from chassis.errors import InvariantBroken, PermanentError, Reason, TransientError
from remediations.journal.port import Delivery, JournalError, Match
from remediations.model import ANNOTATION_OPERATION, HoldReason, Mode, Pause, State, Target
from tests.fakes.decisions import API, LABELS, NOW, an_alert, restart_policy, scale_policy
from tests.fakes.engine import LEASE_SECONDS, Fuse, Killed, World, a_world, is_all_closed
from tests.fakes.kubernetes import AUTOSCALER, DEPLOYMENT


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path) as made:
        yield made


def raising(error: Exception, *verbs: str) -> Any:
    def hook(verb: str, _path: str) -> None:
        if verb in verbs:
            raise error

    return hook


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


async def test_intent_is_durable_before_the_write(world: World):
    """At the moment of the PATCH the journal already says WRITING, with plan and operation id."""
    await world.deliver()
    seen: list[str] = []
    world.cluster.before = lambda verb, _path: seen.append(verb)

    await world.engine().turn("worker")

    kinds = [record.kind for record in await world.records("decision", "intent", "write")]
    assert kinds == ["decision", "intent", "write"]
    remediation = await world.newest()
    assert remediation.operation_id == remediation.id
    assert remediation.plan is not None
    assert seen[-1] == "patch"


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
    await world.journal.pause(Pause("night", "ops", "freeze", None), world.clock.now())
    await world.deliver()

    await engine.turn("worker")
    assert (await world.newest()).reason == "kill_switch"

    await world.journal.resume("night", world.clock.now())
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


async def test_observing_policy_closes_with_its_plan_and_writes_nothing(world: World):
    world.set_policy(mode=Mode.OBSERVE)
    await world.deliver()

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.written_at) == (State.OBSERVED, None)
    assert remediation.plan is not None
    assert "patch" not in [verb for verb, _ in world.cluster.calls]


async def test_dry_run_is_sent_to_the_server_and_changes_nothing(world: World):
    world.set_policy(mode=Mode.DRY_RUN)
    await world.deliver()

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason, remediation.written_at) == (State.DRY_RUN, "dry_run", None)
    assert (len(world.cluster.dry_runs), world.cluster.stored, world.generation) == (1, [], 3)
    (record,) = await world.records("write")
    assert (record.data["dry_run"], record.data["result"]) == (True, "done")


async def test_dry_run_without_the_right_says_so(world: World):
    world.set_policy(mode=Mode.DRY_RUN)
    world.cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"), "patch")
    await world.deliver()

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.DRY_RUN, "dry_run_refused")


async def test_without_kubernetes_workload_actions_are_held(world: World):
    await world.deliver()
    world.web.answer = TransientError(Reason.TIMEOUT, "slow")

    await world.engine(has_cluster=False).turn("worker")

    assert (await world.newest()).reason == "no_orchestrator"


async def test_object_that_changes_in_between_is_decided_anew_not_sent_again(world: World):
    await world.deliver()
    touched: list[str] = []

    def touch_once(verb: str, _path: str) -> None:
        if verb == "get" and not touched:
            touched.append(verb)
            world.cluster.touch(DEPLOYMENT)

    world.cluster.after = touch_once
    await world.work(world.engine())

    remediation = await world.newest()
    assert (remediation.state, world.generation) == (State.SUCCEEDED, 4)
    results = [record.data["result"] for record in await world.records("write")]
    assert results == ["changed", "done"]
    assert len(await world.records("decision")) == 2


async def test_object_that_never_stands_still_is_held(world: World):
    await world.deliver()
    world.cluster.after = lambda verb, _path: world.cluster.touch(DEPLOYMENT) if verb == "get" else None

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.HELD, "object_changed")
    assert world.generation == 3
    assert await world.journal.actions_since(0.1) == []


async def test_refused_write_is_held_and_costs_no_budget(world: World):
    await world.deliver()
    world.cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"), "patch")

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.HELD, "write_refused")
    assert await world.journal.actions_since(0.1) == []


async def test_write_without_an_answer_is_looked_up_and_not_repeated(world: World):
    """The server did it, the answer was lost."""
    await world.deliver()
    world.cluster.after = raising(TransientError(Reason.CLOSED, "reset"), "patch")
    engine = world.engine()

    await engine.turn("worker")
    assert (await world.newest()).state is State.WRITING
    await world.work(engine)

    assert ((await world.newest()).state, world.generation) == (State.SUCCEEDED, 4)
    assert [path for verb, path in world.cluster.calls if verb == "patch"] == [DEPLOYMENT]


async def test_write_that_never_arrived_is_decided_anew(world: World):
    await world.deliver()
    engine = world.engine()
    world.cluster.before = raising(TransientError(Reason.TIMEOUT, "hung"), "patch")
    await engine.turn("worker")
    assert (await world.newest()).state is State.WRITING
    world.cluster.before = lambda _verb, _path: None

    await world.work(engine)

    assert ((await world.newest()).state, world.generation) == (State.SUCCEEDED, 4)


async def test_write_nobody_can_look_up_ends_as_unverified(world: World):
    await world.deliver()
    engine = world.engine()
    world.cluster.before = raising(TransientError(Reason.TIMEOUT, "hung"), "patch")
    await engine.turn("worker")
    world.cluster.before = raising(TransientError(Reason.TIMEOUT, "hung"), "patch", "get")

    await world.work(engine, turns=80, seconds=10.0)

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.UNVERIFIED, "write_unknown")


async def test_write_that_arrives_after_it_was_given_up_is_recognised(world: World):
    """The request of a dead process lies in a queue somewhere and is carried out after its successor has looked."""
    await world.deliver()
    engine = world.engine()
    world.cluster.before = raising(TransientError(Reason.TIMEOUT, "hung"), "patch")
    await engine.turn("worker")
    world.cluster.before = lambda _verb, _path: None
    late = (await world.newest()).plan["steps"][0]
    gets: list[str] = []

    def arrive_late(verb: str, path: str) -> None:
        if verb == "get" and path == DEPLOYMENT:
            gets.append(verb)
            if len(gets) == 1:
                world.cluster.apply(DEPLOYMENT, late["body"])

    world.cluster.after = arrive_late
    await world.work(engine)

    remediation = await world.newest()
    assert (remediation.state, remediation.attempts, world.generation) == (State.SUCCEEDED, 1, 4)
    assert len(await world.records("replay")) == 1


async def test_failure_is_called_failure(world: World):
    """The restart is complete, and the API still hangs."""
    world.prometheus.answers = {
        **world.prometheus.answers,
        "controlcore_api_up == bool 0": True,
        "controlcore_api_up == bool 1": False,
    }
    await world.deliver()

    await world.work(world.engine(), turns=60)

    remediation = await world.newest()
    assert (remediation.state, world.generation) == (State.FAILED, 4)


async def test_silence_after_the_write_is_unverified_whatever_alertmanager_says(world: World):
    await world.deliver()
    engine = world.engine()
    await engine.turn("worker")
    world.prometheus.answers = {}
    await world.deliver(is_firing=False)

    await world.work(engine, turns=60)

    remediation = await world.newest()
    assert (remediation.state, remediation.is_resolved) == (State.UNVERIFIED, True)


async def test_second_alert_after_success_is_held_by_the_cooldown(world: World):
    await world.deliver()
    engine = world.engine()
    await world.work(engine)
    world.prometheus.answers = {**world.prometheus.answers, "controlcore_api_up == bool 0": True}
    world.cluster.objects[DEPLOYMENT]["status"]["readyReplicas"] = 0
    for path, item in world.cluster.objects.items():
        if "/pods/" in path:
            item["status"]["conditions"] = []

    await world.deliver()
    await engine.turn("worker")

    assert (await world.newest()).reason == "cooldown"
    assert world.generation == 4


async def test_autoscaler_at_its_maximum_gets_a_higher_one(tmp_path):
    async with a_world(tmp_path, scale_policy()) as world:
        well = lambda: world.cluster.objects[AUTOSCALER]["spec"]["maxReplicas"] > 10  # noqa: E731
        world.prometheus.answers = {
            "controlcore_cpu_saturated": lambda: not well(),
            "controlcore_cpu_relieved": well,
            "controlcore_postgres_up == bool 1": True,
        }
        await world.deliver("scale-api")

        await world.work(world.engine())

        assert (await world.newest()).state is State.SUCCEEDED
        assert world.cluster.objects[AUTOSCALER]["spec"]["maxReplicas"] == 12
        assert world.generation == 3


async def test_two_policies_never_act_on_one_target_at_the_same_time(tmp_path):
    async with a_world(tmp_path, restart_policy(), scale_policy()) as world:
        world.prometheus.answers = {**world.prometheus.answers, "controlcore_cpu_saturated": True}
        await world.deliver("restart-api", "scale-api")
        engine = world.engine()

        while await engine.turn("worker"):
            pass

        found = {item.policy: (item.state, item.reason) for item in await world.journal.listing()}
        assert found == {
            "restart-api": (State.VERIFYING, "written"),
            "scale-api": (State.HELD, "target_busy"),
        }
        assert len(world.cluster.stored) == 1


async def test_workers_side_by_side_never_overspend_the_budget_together(tmp_path):
    """Facts are gathered at the same time; the decision is made by one after the other."""
    others = [Target(API.namespace, "Deployment", f"app-{number}") for number in range(6)]
    policies = [restart_policy(name=other.name, targets=(other,)) for other in others]
    async with a_world(tmp_path, *policies) as world:
        world.policy_set = replace(world.policy_set, max_actions=2)
        for other in others:
            path = DEPLOYMENT.replace(API.name, other.name)
            world.cluster.objects[path] = copy.deepcopy(world.cluster.objects[DEPLOYMENT])
            alert = an_alert(labels={**LABELS, "remediation": other.name})
            await world.journal.append(Delivery(NOW, (Match(alert, other.name, other),)))
        engine = world.engine()

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(engine.turn(f"worker-{number}"))

        assert len(world.cluster.stored) == 2
        assert sorted(item.reason for item in await world.journal.listing()) == ["budget_spent"] * 4 + ["written"] * 2


async def test_policy_that_was_taken_out_of_the_file_acts_no_more(world: World):
    await world.deliver()
    world.policy_set = replace(world.policy_set, policies=())
    engine = world.engine()

    await engine.turn("worker")
    assert ((await world.newest()).state, (await world.newest()).reason) == (State.HELD, "not_allowed")

    await world.work(engine, turns=80, seconds=15.0)
    assert (await world.newest()).state is State.EXPIRED
    assert world.count("remediation_decisions_total", remediation="unknown", decision="hold", reason="not_allowed") > 0


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What is logged as JSON."""
    stream = io.StringIO()
    log.configure(program="test", form="json", stream=stream)
    yield stream
    structlog.reset_defaults()


async def test_fault_of_our_own_rests_and_leaves_the_others_alone(world: World, logged: io.StringIO):
    await world.deliver()
    engine = world.engine()
    world.web.answer = ValueError("a fault of our own")

    assert await engine.turn("worker")
    assert world.count("remediation_engine_errors_total") == 1
    assert '"event": "step.failed"' in logged.getvalue()
    assert not await engine.turn("worker")

    world.web.answer = TransientError(Reason.TIMEOUT, "slow")
    await world.work(engine)
    assert (await world.newest()).state is State.SUCCEEDED


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


async def passed_points(tmp_path: Any) -> list[str]:
    """Every point at which the process can die in a whole remediation."""
    async with a_world(tmp_path) as world:
        await world.deliver()
        fuse = Fuse()
        await world.work(world.engine(fuse))
        assert (await world.newest()).state is State.SUCCEEDED
        return fuse.names


async def run_until_death(world: World, number: int) -> str:
    """Works with a process that dies at this point; its name."""
    fuse = Fuse(number)
    with pytest.raises((Killed, BaseExceptionGroup)):
        await world.work(world.engine(fuse))
    return fuse.names[number - 1]


@pytest.mark.timeout(120)
async def test_process_that_dies_at_any_point_has_exactly_one_effect(tmp_path_factory):
    points = await passed_points(tmp_path_factory.mktemp("whole"))
    assert {"before patch", "after patch", "before journal.advance", "after journal.advance"} <= set(points)

    for number in range(1, len(points) + 1):
        async with a_world(tmp_path_factory.mktemp("mortal")) as world:
            await world.deliver()
            name = await run_until_death(world, number)
            await world.clock.advance(LEASE_SECONDS + 0.1)

            await world.work(world.revive())

            remediation = await world.newest()
            assert (world.generation, remediation.state) == (4, State.SUCCEEDED), (number, name)
            assert remediation.attempts == 1, (number, name)
            assert await is_all_closed(world.journal)


@pytest.mark.timeout(120)
async def test_process_that_dies_again_and_again_has_exactly_one_effect(tmp_path_factory):
    """Each successor dies a little later than the one before."""
    async with a_world(tmp_path_factory.mktemp("mortal")) as world:
        world.set_policy(verify_timeout_seconds=3600.0, expires_seconds=3600.0)
        await world.deliver()
        for number in range(1, 200):
            if not await world.journal.listing(only_open=True):
                break
            try:
                await world.work(world.engine(Fuse(number % 23 + 1)))
            except (Killed, BaseExceptionGroup):
                await world.clock.advance(LEASE_SECONDS + 0.1)

        await world.work(world.revive())
        assert (world.generation, (await world.newest()).state) == (4, State.SUCCEEDED)


async def test_worker_that_lost_its_lease_writes_nothing(world: World):
    """It was stopped between gathering facts and writing for longer than its lease."""
    await world.deliver()
    calls: list[str] = []

    def sleep_long(verb: str, _path: str) -> None:
        calls.append(verb)
        if verb == "list" and calls.count("list") == 1:
            world.clock.jump(2 * LEASE_SECONDS)

    world.cluster.after = sleep_long
    await world.engine().turn("worker")

    assert (await world.newest()).state is State.CLAIMED
    assert (world.generation, "patch" in calls) == (3, False)


async def test_every_hold_reason_can_be_stored_and_shown():
    assert {reason.value for reason in HoldReason} >= {"object_changed", "write_refused", "target_busy"}
