from __future__ import annotations

import asyncio

from chassis.clock import Clock, SystemClock
from tests.fakes.clock import START_UNIX_SECONDS, ManualClock


async def test_manual_clock_advanced_wakes_sleepers_in_order_at_their_time() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now() - START_UNIX_SECONDS))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep("late", 3.0))
        group.create_task(sleep("early", 1.0))
        group.create_task(sleep("beyond", 10.0))
        await clock.wait_until_sleeping(3)
        await clock.advance(5.0)
        assert [(name, round(at, 6)) for name, at in woken] == [("early", 1.0), ("late", 3.0)]
        assert clock.sleeping == 1
        await clock.advance(5.0)


async def test_manual_clock_advanced_once_wakes_a_loop_many_times() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def tick() -> None:
        for _ in range(4):
            await clock.sleep(1.0)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(tick())
        await clock.advance(4.0)
    assert ticks == [1001.0, 1002.0, 1003.0, 1004.0]


def test_manual_clock_jump_leaves_monotonic_alone() -> None:
    clock = ManualClock(now=100.0, monotonic=5.0)
    clock.jump(-3600.0)
    assert (clock.now(), clock.monotonic()) == (-3500.0, 5.0)


async def test_system_clock_is_a_clock_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-1.0)
    assert clock.monotonic() >= before
    assert clock.now() > 1_700_000_000
