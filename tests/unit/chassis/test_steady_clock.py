from __future__ import annotations

import pytest

from chassis.steady_clock import FOLLOW_SECONDS, STEP_SECONDS, SteadyClock
from tests.fakes.clock import START_UNIX_SECONDS, ManualClock

HOUR = 3600.0


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
async def test_step_of_the_host_clock_moves_nothing(seconds: float):
    host = ManualClock()
    clock = SteadyClock(host)
    host.jump(seconds)
    await host.advance(10.0)
    assert clock.now() == pytest.approx(START_UNIX_SECONDS + 10.0)


async def test_step_and_back_moves_nothing():
    host = ManualClock()
    clock = SteadyClock(host)
    for seconds in (HOUR, -HOUR):
        host.jump(seconds)
        clock.now()
    await host.advance(FOLLOW_SECONDS)
    assert clock.now() == pytest.approx(START_UNIX_SECONDS + FOLLOW_SECONDS)


async def test_step_that_stands_is_followed_at_last():
    host = ManualClock()
    clock = SteadyClock(host)
    host.jump(HOUR)
    clock.now()
    await host.advance(FOLLOW_SECONDS - 1)
    assert clock.now() == pytest.approx(host.now() - HOUR)
    await host.advance(1)
    assert clock.now() == pytest.approx(host.now())


async def test_second_step_waits_anew():
    host = ManualClock()
    clock = SteadyClock(host)
    host.jump(HOUR)
    clock.now()
    await host.advance(FOLLOW_SECONDS - 1)
    host.jump(HOUR)
    clock.now()
    await host.advance(FOLLOW_SECONDS - 1)
    assert clock.now() == pytest.approx(host.now() - 2 * HOUR)


def test_slow_drift_is_followed():
    host = ManualClock()
    clock = SteadyClock(host)
    for _ in range(100):
        host.jump(STEP_SECONDS / 2)
        assert clock.now() == host.now()
