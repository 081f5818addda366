"""What becomes of a write: refused, lost, late, proven or not."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace

import pytest
import structlog

from chassis.errors import PermanentError, Reason, TransientError
from remediations.core.model.alert import Delivery, Match, Mode, Target
from remediations.core.model.remediation import State
from remediations.core.policies.policy import Witness, WitnessKind
from tests.fakes.decisions import API, LABELS, NOW, an_alert, restart_policy, scale_policy
from tests.fakes.engine import World, a_world, raising
from tests.fakes.kubernetes import AUTOSCALER, BUDGET, DEPLOYMENT, PODS, a_deployment, a_pod


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


@pytest.mark.parametrize(
    ("mode", "events"),
    [
        (Mode.DRY_RUN, ["decision.would_have_acted", "step.dry_run_ended"]),
        (Mode.OBSERVE, ["decision.would_have_acted"]),
        (Mode.AUTO, ["decision.acted", "step.sent"]),
    ],
)
async def test_log_says_of_a_write_only_that_there_was_one(world: World, mode: Mode, events: list[str]):
    world.set_policy(mode=mode)
    await world.deliver()

    with structlog.testing.capture_logs() as lines:
        await world.engine().turn("worker")

    assert [line["event"] for line in lines if line["event"].startswith(("decision.", "step."))] == events


async def test_dry_run_without_the_right_says_so(world: World):
    world.set_policy(mode=Mode.DRY_RUN)
    world.cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"), "patch")
    await world.deliver()

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.DRY_RUN, "dry_run_refused")


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


async def test_refused_dry_run_is_held_and_is_no_attempt(world: World):
    """R3: the write itself was never sent."""
    await world.deliver()
    world.cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"), "patch")

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason, remediation.attempts) == (State.HELD, "write_refused", 0)
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
    assert [path for verb, path in world.cluster.calls if verb == "patch"] == [DEPLOYMENT] * 2, "a dry run and a write"


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
    """The request of a dead process waits in a queue and takes effect after its successor has read the object."""
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


async def test_two_restarts_never_use_one_disruption_budget_at_the_same_time(tmp_path):
    """R2: both read that the budget allows one pod to stop, before either rollout has stopped one."""
    witnesses = (Witness("pods", WitnessKind.PODS_RUNNING), Witness("health", WitnessKind.HTTP, "http://api/health"))
    names = (API.name, "worker")
    targets = [Target(API.namespace, "Deployment", name) for name in names]
    policies = [restart_policy(name=item.name, targets=(item,), witnesses=witnesses) for item in targets]
    async with a_world(tmp_path, *policies) as world:
        world.cluster.objects[BUDGET] = {
            "metadata": {"name": "all", "generation": 1},
            "spec": {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": names}]}},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 1},
        }
        for item in targets:
            add_ready_deployment(world, item.name)
            alert = an_alert(labels={**LABELS, "remediation": item.name})
            await world.journal.append(Delivery(NOW, (Match(alert, item.name, item),)))
        engine = world.engine()

        async with asyncio.TaskGroup() as group:
            for number in range(len(targets)):
                group.create_task(engine.turn(f"worker-{number}"))

        assert len(world.cluster.stored) == 1
        found = sorted(item.reason for item in await world.journal.listing())
        assert found == ["disruption_budget", "written"]


def add_ready_deployment(world: World, name: str) -> None:
    """Three ready pods, of which a rollout may stop one before its successor is ready."""
    made = a_deployment(ready=3)
    labels = {"app": name}
    made["metadata"]["name"] = name
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    made["spec"]["strategy"]["rollingUpdate"] = {"maxUnavailable": 1, "maxSurge": 0}
    world.cluster.objects[DEPLOYMENT.replace(API.name, name)] = made
    for number in range(3):
        pod = f"{name}-{number}"
        world.cluster.objects[f"{PODS}/{pod}"] = a_pod(number, is_ready=True, name=pod, labels=labels)
