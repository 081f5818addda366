"""Time for leases, cooldowns and budgets: Unix seconds that a setting of the host's clock does not move.

Small differences (a clock that is slewed, a leap second) are followed. A step is not: durations counted across it would
be wrong by it. While the two clocks differ no collection is dated right, so that every condition with collectors is
unknown and holds. A step that has stood for FOLLOW_SECONDS is the truth and is followed too; otherwise a correction of
a wrong clock, or the end of a virtual machine's sleep, would hold everything until somebody restarts the program.
"""

from __future__ import annotations

from chassis.clock import Clock
from chassis.log import get_logger

STEP_SECONDS = 2.0
FOLLOW_SECONDS = 1800.0


class SteadyClock:
    """A chassis.clock.Clock over another one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.now() - clock.monotonic()
        """What the wall clock that counts is ahead of the monotonic one."""
        self._stepped_to: float | None = None
        self._stepped_at = 0.0

    def now(self) -> float:
        """Unix seconds."""
        monotonic = self._clock.monotonic()
        seen = self._clock.now() - monotonic
        if abs(seen - self._ahead) <= STEP_SECONDS:
            self._ahead, self._stepped_to = seen, None
        elif self._stepped_to is None or abs(seen - self._stepped_to) > STEP_SECONDS:
            self._stepped_to, self._stepped_at = seen, monotonic
            get_logger().error("clock.stepped", seconds=round(seen - self._ahead, 3), follow_seconds=FOLLOW_SECONDS)
        elif monotonic - self._stepped_at >= FOLLOW_SECONDS:
            get_logger().warning("clock.step_accepted", seconds=round(seen - self._ahead, 3))
            self._ahead, self._stepped_to = seen, None
        return self._ahead + monotonic

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC, seconds."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Suspends the calling task."""
        await self._clock.sleep(seconds)
