"""Passes reload requests to the one task that reloads the configuration, and its answer back.

A reload restarts all collectors, and without a configured credential anyone who reaches the port may request one. So
HTTP requests are answered together, at most once in RELOAD_SECONDS after the first few, and never before every
collector has ended a collection. A signal or a discovery does not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chassis.clock import Clock

ANSWER_SECONDS = 30.0
RELOAD_SECONDS = 15.0
RELOADS_AT_ONCE = 3.0
"""Requests that may follow one another without waiting; one more is allowed every RELOAD_SECONDS."""
WAITING_MAX = 8
"""Requests that wait for an answer; more get 503, and the same reload serves them."""
LOOK_SECONDS = 0.25
Faults = tuple[str, ...]


class TooManyError(Exception):
    """Enough requests wait for the same answer."""


class Reloads:
    """Requests that come while one is being answered are answered together by the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[Faults]] = []
        self._rereads = False
        self._is_urgent = False
        self._earned, self._at = RELOADS_AT_ONCE, clock.monotonic()

    def request(self, *, rereads: bool = True) -> None:
        """Requests a reload without waiting for its result, as a signal does.

        Without `rereads` only for discovered bouncers.
        """
        self._is_urgent = True
        self._rereads |= rereads
        self._asked.set()

    async def ask(self) -> Faults:
        """Requests a reload and returns the faults, none when the new configuration is in force.

        Raises TooManyError.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise TooManyError
        answer: asyncio.Future[Faults] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._rereads = True
        self._asked.set()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return ("the configuration could not be opened in time",)

    async def next(self, is_settled: Callable[[], bool]) -> tuple[list[asyncio.Future[Faults]], bool]:
        """Waits for a request; returns the waiting callers, and whether the configuration is read again.

        `is_settled` says whether the collectors have had time to end a collection.
        """
        await self._asked.wait()
        while not self._is_urgent and not (is_settled() and self._is_earned()):
            await self._clock.sleep(LOOK_SECONDS)
        self._asked.clear()
        self._is_urgent = False
        waiting, self._waiting = self._waiting, []
        rereads, self._rereads = self._rereads, False
        return waiting, rereads

    def _is_earned(self) -> bool:
        """Whether another reload may begin; uses it up."""
        now = self._clock.monotonic()
        self._earned = min(RELOADS_AT_ONCE, self._earned + (now - self._at) / RELOAD_SECONDS)
        self._at = now
        if self._earned < 1:
            return False
        self._earned -= 1
        return True


def answer(waiting: list[asyncio.Future[Faults]], faults: Faults) -> None:
    """Passes the result to every waiting caller."""
    for future in waiting:
        if not future.done():
            future.set_result(faults)
