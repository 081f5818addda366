"""A process that dies anywhere leaves exactly one effect."""

from __future__ import annotations

from typing import Any

import pytest

from remediations.core.model.remediation import State
from tests.fakes.engine import LEASE_SECONDS, Fuse, Killed, World, a_world, is_all_closed


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
