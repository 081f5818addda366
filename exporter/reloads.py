"""Carries requests to read the configuration again to the one task that does it, and its answer back."""

from __future__ import annotations

import asyncio

ANSWER_SECONDS = 30.0
Faults = tuple[str, ...]


class Reloads:
    """Requests that come while one is being answered are answered together by the next."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[Faults]] = []
        self._rereads = False

    def request(self, *, rereads: bool = True) -> None:
        """Asks without waiting for the answer, as a signal does; without `rereads` only for what was discovered."""
        self._rereads |= rereads
        self._asked.set()

    async def ask(self) -> Faults:
        """Asks and returns the faults, none when the new configuration is in force."""
        answer: asyncio.Future[Faults] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self.request()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return ("the configuration could not be opened in time",)

    async def next(self) -> tuple[list[asyncio.Future[Faults]], bool]:
        """Waits for a request; returns those who wait for its answer, and whether the configuration is read again."""
        await self._asked.wait()
        self._asked.clear()
        waiting, self._waiting = self._waiting, []
        rereads, self._rereads = self._rereads, False
        return waiting, rereads


def answer(waiting: list[asyncio.Future[Faults]], faults: Faults) -> None:
    """Tells everybody who waits."""
    for future in waiting:
        if not future.done():
            future.set_result(faults)
