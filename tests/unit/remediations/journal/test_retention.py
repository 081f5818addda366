from __future__ import annotations

import asyncio

from remediations.core.model.errors import JournalError
from remediations.core.model.remediation import State
from remediations.journal.retention import forget_old, forget_once
from tests.fakes.clock import ManualClock
from tests.fakes.engine import a_world


async def test_what_closed_long_ago_is_forgotten_and_what_is_open_stays(tmp_path):
    async with a_world(tmp_path) as world:
        await world.deliver()
        await world.work(world.engine())
        closed = await world.newest()
        world.clock.jump(89 * 86400)
        await forget_once(world.journal, world.clock, 90)
        assert (await world.newest()).state is State.SUCCEEDED

        world.clock.jump(2 * 86400)
        await world.deliver("scale-api")
        await world.deliver("restart-api")
        await forget_once(world.journal, world.clock, 90)

        left = await world.journal.listing()
        assert {item.policy for item in left} == {"restart-api", "scale-api"}
        assert closed.id not in {item.id for item in left}


async def test_journal_that_fails_is_tried_again_later():
    class Broken:
        async def prune(self, _before: float) -> int:
            raise JournalError("the disk is full")

    await forget_once(Broken(), ManualClock(), 90)  # type: ignore[arg-type]


async def test_end_is_not_waited_for(tmp_path):
    stop = asyncio.Event()
    stop.set()
    async with a_world(tmp_path) as world:
        await forget_old(world.journal, world.clock, 90, stop)
