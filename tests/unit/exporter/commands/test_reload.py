"""M5: a flood of reloads keeps no collector from ending, and holds no places."""

from __future__ import annotations

import asyncio

import pytest

from exporter.http.reload import RELOAD_SECONDS, WAITING_MAX, Reloads, TooManyError, answer
from tests.fakes.clock import ManualClock, settle


async def carry_out(reloads: Reloads, clock: ManualClock, done: list[float], settled: list[bool]) -> None:
    """Answers every reload, and records when."""
    while True:
        waiting, _ = await reloads.next(lambda: settled[0])
        done.append(clock.monotonic())
        answer(waiting, ())


async def test_flood_of_requests_becomes_few_reloads() -> None:
    clock, done, settled = ManualClock(monotonic=0.0), [], [True]
    reloads = Reloads(clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(carry_out(reloads, clock, done, settled))
        asking: list[asyncio.Task[tuple[str, ...]]] = []
        for _ in range(600):
            if len(reloads._waiting) < WAITING_MAX:
                asking.append(group.create_task(reloads.ask()))
            await clock.advance(0.1)
        await clock.advance(RELOAD_SECONDS)
        task.cancel()
    assert len(done) <= 3 + 75 / RELOAD_SECONDS + 1
    assert len(asking) > len(done)


async def test_reload_waits_until_every_collector_has_collected() -> None:
    clock, done, settled = ManualClock(monotonic=0.0), [], [False]
    reloads = Reloads(clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(carry_out(reloads, clock, done, settled))
        asked = group.create_task(reloads.ask())
        await clock.advance(5.0)
        assert done == []
        settled[0] = True
        await clock.advance(1.0)
        assert await asked == ()
        settled[0] = False
        reloads.request()
        await settle()
        assert len(done) == 2, "a signal does not wait"
        task.cancel()


async def test_more_than_a_few_do_not_wait_for_the_answer() -> None:
    reloads = Reloads(ManualClock())
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(reloads.ask()) for _ in range(WAITING_MAX)]
        await settle()
        with pytest.raises(TooManyError):
            await reloads.ask()
        waiting, rereads = await reloads.next(lambda: True)
        assert (len(waiting), rereads) == (WAITING_MAX, True)
        answer(waiting, ("fault",))
    assert [task.result() for task in asking] == [("fault",)] * WAITING_MAX
