"""Lets the requests to one bouncer start one after another, so that each duration is the bouncer's own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOLD_SECONDS = 0.25
"""How long a request without an answer delays the next ones: with three that hang, a round still ends in time."""

T = TypeVar("T")


class Turns:
    """Requests that start in a fixed order.

    Started together, each would wait for our own work on the others, and that time would count as the bouncer's.
    """

    def __init__(self) -> None:
        self._last: asyncio.Event | None = None

    async def take(self, ask: Callable[..., Awaitable[T]], *arguments: object) -> T:
        """The answer; the request starts once the previous one has ended or delayed it for too long."""
        before, self._last = self._last, (mine := asyncio.Event())
        try:
            if before is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HOLD_SECONDS):
                        await before.wait()
            return await ask(*arguments)
        finally:
            mine.set()
