"""Limits how often the same thing is written to the log, however often it happens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chassis.clock import Clock

QUIET_SECONDS = 60.0
KEYS_MAX = 256
"""Keys that are remembered; the one that was written longest ago is forgotten first."""


class Quiet:
    """Lets one line of each key through in `seconds`, and counts those in between."""

    def __init__(self, clock: Clock, seconds: float = QUIET_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._written: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def count(self, key: Hashable) -> int:
        """How many times this happened since its last line, this time included; 0 when no line is due."""
        now = self._clock.monotonic()
        at, number = self._written.get(key, (now - self._seconds, 0))
        if now - at < self._seconds:
            self._written[key] = (at, number + 1)
            return 0
        self._written[key] = (now, 0)
        self._written.move_to_end(key)
        if len(self._written) > KEYS_MAX:
            self._written.popitem(last=False)
        return number + 1
