"""A separate remediation reverts a scale-up: when its time is over or it did not help, and only if safe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import Reason, TransientError
from remediations.core.model.remediation import State
from tests.fakes.decisions import scale_policy
from tests.fakes.engine import LEASE_SECONDS, Fuse, Killed, World, a_world
from tests.fakes.kubernetes import AUTOSCALER, DEPLOYMENT

REVERT = {
    "max_replicas_cap": 14,
    "step": 2,
    "revert_if": "load * $new / $old",
    "revert_collectors": ("workloads",),
    "revert_after_seconds": 100,
    "revert_give_up_seconds": 1200,
}
PATCH = {"spec": {"maxReplicas": 15}}


@asynccontextmanager
async def a_busy_world(path: Path, *, helps: bool = True, **policy: Any) -> AsyncIterator[World]:
    """An autoscaler at its maximum of 10; a higher one helps or does not. Three pods, all ready."""
    changes = {"parameters": REVERT, "verify_timeout_seconds": 30.0, "cooldown_seconds": 0.0} | policy
    async with a_world(path, scale_policy(**changes)) as world:
        world.cluster.roll_out(DEPLOYMENT)
        world.prometheus.answers = {
            "controlcore_postgres_up == bool 1": True,
            "controlcore_cpu_saturated": lambda: not helps or bound(world) == 10,
            "controlcore_cpu_relieved": lambda: helps,
            "load * 12 / 10": True,
        }
        yield world


def bound(world: World) -> int:
    return int(world.cluster.objects[AUTOSCALER]["spec"]["maxReplicas"])


async def scale_up(world: World) -> None:
    """One alert, processed until its scale-up has closed."""
    await world.deliver("scale-api")
    engine = world.engine()
    for _ in range(40):
        while await engine.turn("worker"):
            pass
        closed = {item.policy for item in await world.journal.listing() if item.written_at and item.state in DONE}
        if "scale-api" in closed:
            return
        await world.clock.advance(3.0)


DONE = {State.SUCCEEDED, State.FAILED, State.UNVERIFIED}


async def test_scale_up_that_helped_is_taken_back_when_its_time_is_over(tmp_path: Path):
    async with a_busy_world(tmp_path) as world:
        await scale_up(world)
        revert, origin = await world.journal.listing()
        assert (revert.policy, revert.state, revert.reason) == ("scale-api:revert", State.HELD, "scheduled")
        assert origin.written_at is not None
        assert revert.next_at == origin.written_at + 100
        assert bound(world) == 12

        world.prometheus.answers |= {"controlcore_cpu_saturated": False}
        await world.work(world.engine())

        revert = await world.newest()
        assert (revert.state, revert.written_at is not None, bound(world)) == (State.SUCCEEDED, True, 10)
        assert revert.written_at >= origin.written_at + 100
        (scheduled,) = await world.records("scheduled")
        assert origin.id in scheduled.data["detail"]
        assert world.count("remediation_actions_total", remediation="scale-api:revert", action="revert_scale",
                           outcome="succeeded") == 1  # fmt: skip
        assert len(await world.journal.listing()) == 2, "a revert has no revert"


async def test_revert_is_held_while_the_load_does_not_fit_and_expires_at_last(tmp_path: Path):
    async with a_busy_world(tmp_path) as world:
        world.prometheus.answers["load * 12 / 10"] = False
        await scale_up(world)
        await world.clock.advance(120)
        engine = world.engine()
        while await engine.turn("worker"):
            pass
        assert ((await world.newest()).state, (await world.newest()).reason) == (State.HELD, "load_too_high")

        world.prometheus.answers["load * 12 / 10"] = None
        await world.clock.advance(120)
        while await engine.turn("worker"):
            pass
        assert (await world.newest()).reason == "condition_unknown"

        await world.clock.advance(1200)
        await world.work(engine)
        assert ((await world.newest()).state, bound(world)) == (State.EXPIRED, 12)


async def test_revert_of_what_somebody_else_has_changed_since_closes(tmp_path: Path):
    async with a_busy_world(tmp_path) as world:
        await scale_up(world)
        world.cluster.apply(AUTOSCALER, PATCH)
        await world.work(world.engine())
        newest = await world.newest()
        assert (newest.state, newest.reason, bound(world)) == (State.NOT_NEEDED, "changed_since", 15)


@pytest.mark.parametrize("fate", ["arrived", "lost"])
async def test_scale_up_whose_fate_nobody_could_tell_is_taken_back_if_it_arrived(tmp_path: Path, fate: str):
    """It closed as unverified because the API server could not even be read; later it can."""
    is_arrived = fate == "arrived"
    hung = TransientError(Reason.TIMEOUT, "hung")

    def fail(verb: str, _path: str) -> None:
        if verb == "get" or (verb == "patch" and not is_arrived):
            raise hung

    async with a_busy_world(tmp_path) as world:
        await world.deliver("scale-api")
        engine = world.engine()

        def answer_lost(verb: str, _path: str) -> None:
            if verb == "patch":
                world.cluster.before = fail
                raise hung

        if is_arrived:
            world.cluster.after = answer_lost
        else:
            world.cluster.before = lambda verb, path: fail(verb, path) if verb == "patch" else None
        await engine.turn("worker")
        world.cluster.after, world.cluster.before = (lambda _verb, _path: None), fail
        for _ in range(90):
            while await engine.turn("worker"):
                pass
            if State.UNVERIFIED in {item.state for item in await world.journal.listing()}:
                break
            await world.clock.advance(10.0)
        world.cluster.before = lambda _verb, _path: None
        world.prometheus.answers |= {"controlcore_cpu_saturated": False}
        assert bound(world) == (12 if is_arrived else 10)
        await world.work(engine)

        revert, origin = await world.journal.listing()
        assert (origin.state, origin.reason) == (State.UNVERIFIED, "write_unknown")
        assert (revert.state, bound(world)) == (State.SUCCEEDED if is_arrived else State.NOT_NEEDED, 10)


async def test_scale_up_that_did_not_help_is_taken_back_at_once(tmp_path: Path):
    async with a_busy_world(tmp_path, helps=False) as world:
        await scale_up(world)
        revert, origin = await world.journal.listing()
        assert origin.state is State.FAILED
        await world.work(world.engine())
        revert = await world.newest()
        assert revert.written_at is not None
        assert origin.written_at is not None
        assert revert.written_at - origin.written_at < 100
        assert bound(world) == 10


@pytest.mark.parametrize(
    ("parameters", "helps"),
    [
        ({"revert_if": "", "revert_collectors": ()}, True),
        ({"revert_if": ""}, False),
        ({"revert_after_seconds": 0}, True),
    ],
)
async def test_without_a_question_or_a_time_nothing_is_scheduled(tmp_path: Path, parameters, helps):
    async with a_busy_world(tmp_path, helps=helps, parameters=REVERT | parameters) as world:
        await scale_up(world)
        assert len(await world.journal.listing()) == 1


async def test_second_scale_up_puts_the_revert_off_and_it_goes_back_to_the_first_number(tmp_path: Path):
    async with a_busy_world(tmp_path, budget_actions=5) as world:
        world.prometheus.answers |= {
            "controlcore_cpu_saturated": lambda: bound(world) < 14,
            "load * 14 / 10": True,
        }
        await scale_up(world)
        await world.clock.advance(50)
        status = world.cluster.objects[AUTOSCALER]["status"]
        status |= {"currentReplicas": 12, "desiredReplicas": 12}
        await scale_up(world)
        for _ in range(10):
            if bound(world) == 14:
                break
            await world.clock.advance(3)
            while await world.engine().turn("worker"):
                pass
        await scale_down_later(world)
        reverts = [item for item in await world.journal.listing() if item.policy == "scale-api:revert"]
        assert [(item.state, bound(world)) for item in reverts] == [(State.SUCCEEDED, 10)]


async def scale_down_later(world: World) -> None:
    world.prometheus.answers |= {"controlcore_cpu_saturated": False}
    await world.work(world.engine(), turns=80)


@pytest.mark.timeout(240)
async def test_process_that_dies_at_any_point_takes_back_exactly_once(tmp_path_factory):
    async with a_busy_world(tmp_path_factory.mktemp("whole")) as world:
        await world.deliver("scale-api")
        fuse = Fuse()
        await world.work(world.engine(fuse), turns=60)
        assert bound(world) == 10
        names = fuse.names
    first = names.index("after patch")

    for number in range(first, len(names) + 1, 3):
        async with a_busy_world(tmp_path_factory.mktemp("mortal")) as world:
            await world.deliver("scale-api")
            with pytest.raises((Killed, BaseExceptionGroup)):
                await world.work(world.engine(Fuse(number)), turns=60)
            await world.clock.advance(LEASE_SECONDS + 0.1)
            await world.work(world.revive(), turns=60)
            reverts = [item for item in await world.journal.listing() if item.policy == "scale-api:revert"]
            assert [item.state for item in reverts] == [State.SUCCEEDED], (number, names[number - 1])
            assert len([path for path, _ in world.cluster.stored if path == AUTOSCALER]) == 2
            assert bound(world) == 10
