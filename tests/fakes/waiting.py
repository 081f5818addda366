"""Waiting for an event, with a bound that fits the machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from tools.slowness import scaled

POLL_SECONDS = 0.05
T = TypeVar("T")


def wait_for(
    is_reached: Callable[[], T],
    timeout_seconds: float = 30.0,
    *,
    poll_seconds: float = POLL_SECONDS,
    describe: Callable[[], object] = lambda: "it did not happen",
) -> T:
    """Returns the first answer that is true; fails after the scaled bound with what `describe` says then."""
    deadline = time.monotonic() + scaled(timeout_seconds)
    while not (answer := is_reached()):
        assert time.monotonic() < deadline, f"not within {scaled(timeout_seconds):.0f} s: {describe()}"
        time.sleep(poll_seconds)
    return answer


async def until(
    is_reached: Callable[[], object], timeout_seconds: float = 30.0, *, poll_seconds: float = POLL_SECONDS
) -> None:
    """Like `wait_for`, without blocking the event loop; TimeoutError after the scaled bound."""
    async with asyncio.timeout(scaled(timeout_seconds)):
        while not is_reached():  # noqa: ASYNC110 - what is waited for is seen from outside only
            await asyncio.sleep(poll_seconds)
