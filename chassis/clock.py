"""The only source of time, so that tests can control it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Wall-clock time, Unix seconds. May jump when the host's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back. Use it for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspends the calling task for this many seconds; zero or less only yields."""
        ...


class SystemClock:
    """Reads the host's clocks."""

    def now(self) -> float:
        """Wall-clock time, Unix seconds."""
        return time.time()  # noqa: TID251 - this is the one place

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC, seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Suspends the calling task."""
        await asyncio.sleep(max(0.0, seconds))


def format_timestamp(unix_seconds: float) -> str:
    """The instant as the guide's fluentd expects it, in UTC with milliseconds."""
    instant = datetime.fromtimestamp(unix_seconds, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}+0000"


def format_rfc3339(unix_seconds: float) -> str:
    """The instant as RFC 3339 in UTC with milliseconds, such as 2026-11-29T08:30:00.000Z.

    Raises OverflowError, ValueError or OSError for an invalid date.
    """
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
