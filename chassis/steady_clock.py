"""Time for leases, cooldowns and budgets: Unix seconds that a step of the host's clock does not move.

Small differences (a slewed clock, a leap second) are followed. A step is not, because it would falsify durations. While
the two clocks differ, the age of collections is wrong, so every condition with collectors is unknown and holds. A step
that lasts for FOLLOW_SECONDS is accepted; otherwise the correction of a wrong clock, or the end of a virtual machine's
sleep, would hold everything until a restart.
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
        """Difference between the accepted wall clock and the monotonic clock."""
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
