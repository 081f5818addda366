"""Scaling without an autoscaler: /scale keeps no mark, and the absolute number still has one effect."""

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


@asynccontextmanager
async def a_busy_world(path: Path, **policy: Any) -> AsyncIterator[World]:
    """Three pods that are saturated until there are more; no autoscaler."""
    async with a_world(path, scale_policy(**({"verify_timeout_seconds": 60.0} | policy))) as world:
        del world.cluster.objects[AUTOSCALER]
        world.cluster.roll_out(DEPLOYMENT)
        world.prometheus.answers = {
            **world.prometheus.answers,
            "controlcore_cpu_saturated": lambda: replicas(world) == 3,
            "controlcore_cpu_relieved": lambda: replicas(world) > 3,
        }
        yield world


def replicas(world: World) -> int:
    return int(world.cluster.objects[DEPLOYMENT]["spec"]["replicas"])


async def test_deployment_without_autoscaler_gets_one_step_more(tmp_path: Path):
    async with a_busy_world(tmp_path) as world:
        await world.deliver("scale-api")
        await world.work(world.engine())
        newest = await world.newest()
        assert (newest.state, newest.attempts) == (State.SUCCEEDED, 1)
        assert [path.rsplit("/", 1)[1] for path, _ in world.cluster.stored] == ["control-plane-api"]
        assert replicas(world) == 5


@pytest.mark.timeout(120)
async def test_process_that_dies_at_any_point_scales_exactly_once(tmp_path_factory):
    async with a_busy_world(tmp_path_factory.mktemp("whole")) as world:
        await world.deliver("scale-api")
        fuse = Fuse()
        await world.work(world.engine(fuse))
        names = fuse.names
    assert {"before patch", "after patch"} <= set(names)

    for number in range(1, len(names) + 1):
        async with a_busy_world(tmp_path_factory.mktemp("mortal")) as world:
            await world.deliver("scale-api")
            with pytest.raises((Killed, BaseExceptionGroup)):
                await world.work(world.engine(Fuse(number)))
            await world.clock.advance(LEASE_SECONDS + 0.1)
            await world.work(world.revive())
            newest = await world.newest()
            assert (newest.state, newest.attempts) == (State.SUCCEEDED, 1), (number, names[number - 1])
            assert (replicas(world), world.generation) == (5, 4), (number, names[number - 1])


async def test_write_that_arrives_after_it_was_given_up_is_recognised_by_its_number(tmp_path: Path):
    """The answer was lost, a reading found the old number, and the write arrived while facts were gathered again."""
    async with a_busy_world(tmp_path) as world:
        sent: list[Any] = []

        def lose(verb: str, path: str) -> None:
            if verb == "patch" and not sent:
                sent.append(path)
                raise TransientError(Reason.TIMEOUT, "slow")
            if path == DEPLOYMENT and sent and replicas(world) == 3:
                world.cluster.apply(DEPLOYMENT, {"spec": {"replicas": 5}})

        world.cluster.before = lose
        await world.deliver("scale-api")
        await world.work(world.engine())

        assert (await world.newest()).state is State.SUCCEEDED
        assert (replicas(world), len(await world.records("replay"))) == (5, 1)
