"""Time that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field

START_UNIX_SECONDS = 1_767_323_045.678
SETTLE_ROUNDS = 20


@dataclass(order=True)
class _Sleeper:
    due: float
    number: int
    future: asyncio.Future[None] = field(compare=False)


class ManualClock:
    """A chassis.clock.Clock that stands still until `advance` or `jump`.

    `sleep` suspends until `advance` has passed the end; sleepers wake in the order in which they are due, each at its
    own time, and the same `advance` includes what they start meanwhile.
    """

    def __init__(self, now: float = START_UNIX_SECONDS, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._sleepers: list[_Sleeper] = []
        self._number = 0
        self._slept = asyncio.Event()

    def now(self) -> float:
        """Wall-clock time, Unix seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        return self._monotonic

    @property
    def sleeping(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not sleeper.future.done() for sleeper in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Suspends until the clock was advanced far enough; zero or less only yields."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._number += 1
        sleeper = _Sleeper(self._monotonic + seconds, self._number, asyncio.get_running_loop().create_future())
        heapq.heappush(self._sleepers, sleeper)
        self._slept.set()
        await sleeper.future

    async def advance(self, seconds: float) -> None:
        """Moves both clocks on, waking sleepers on the way, and lets everything that is ready run."""
        end = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0].due <= end:
            sleeper = heapq.heappop(self._sleepers)
            if not sleeper.future.done():
                self._move_to(sleeper.due)
                sleeper.future.set_result(None)
                await settle()
        self._move_to(end)
        await settle()

    def jump(self, seconds: float) -> None:
        """Sets the wall clock alone, as an administrator or NTP would; durations do not notice."""
        self._now += seconds

    def pass_by(self, seconds: float) -> None:
        """Moves both clocks on at once, without waking anybody: something took that long."""
        self._move_to(self._monotonic + seconds)

    async def wait_until_sleeping(self, count: int = 1) -> None:
        """Returns once this many tasks wait for this clock."""
        while self.sleeping < count:
            self._slept.clear()
            await self._slept.wait()

    def _move_to(self, monotonic: float) -> None:
        self._now += monotonic - self._monotonic
        self._monotonic = monotonic


async def settle() -> None:
    """Lets tasks that are ready run, and those that they make ready."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
