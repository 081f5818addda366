"""Tests the database as a new client would: connect, authenticate, query, on a new connection each time.

"Down" is a finding, not a failure of this collector: its values stay fresh while the database is down, so alerts and
the remediator can rely on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import CONNECTION_REASONS, OUR_ACCESS, BackendError, Reason
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.metrics import FAST_BUCKETS, Counter, Histogram, Kind, Metric, Stability
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.clock import Clock
    from chassis.postgres.address import PostgresAddress
    from exporter.sources.sources import DatabaseHealth, Sources

COMPONENT = "database"
WINDOW_SECONDS = 300.0

UP = Metric(
    "controlcore_postgres_up",
    "Whether the last canary found a server that serves clients (1), even with all its connections in use; "
    "absent when only our own access failed, such as a wrong password.",
)
EXHAUSTED = Metric(
    "controlcore_postgres_exhausted",
    "Whether the last canary was refused because all connections of the server or the database were in use (SQLSTATE"
    " 53300); the limit of our own role does not count.",
)
DURATION = Metric(
    "controlcore_postgres_connect_duration_seconds",
    "Duration of a successful canary: connect, authenticate, query.",
    Kind.HISTOGRAM,
    unit="seconds",
    buckets=FAST_BUCKETS,
)
FAILURES = Metric(
    "controlcore_postgres_connection_failures_total",
    "Canaries that failed, by reason.",
    Kind.COUNTER,
    labels=("reason",),
)
SERVER_CHANGES = Metric(
    "controlcore_postgres_server_changes_total",
    "Times that the canary reached another server than the kept connection, which was then reopened.",
    Kind.COUNTER,
)
GUIDE_FAILED = Metric(
    "database_connections_failed",
    "Connection attempts of the canary that failed in the last 5 minutes (name of the DevOps guide).",
    stability=Stability.GUIDE,
)

Probe = Callable[["PostgresAddress", float], Awaitable[float]]
"""Connects, authenticates, queries and closes within the given seconds; returns the duration, raises BackendError."""


class PostgresCanarySettings(CollectorSettings):
    """How often a new connection to the database is tried."""

    interval_seconds: float = Field(default=10.0, gt=0, le=15)
    """Seconds between two attempts. The guide's alert needs more than 5 failures within minutes, hence at most 15; each
    attempt costs the server one backend start, so less than a second hurts it."""
    timeout_seconds: float = 5.0
    """Deadline of one collection; above probe_timeout_seconds, so that a slow attempt is counted and not cut off."""
    probe_timeout_seconds: float = Field(default=1.8, gt=0)
    """Deadline of one attempt. Too small reports a busy server as down. Above two seconds a frozen server is detected
    later than an interval and two seconds."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PostgresCanarySettings,
    metrics=(UP, EXHAUSTED, DURATION, FAILURES, SERVER_CHANGES, GUIDE_FAILED),
    always=(UP.name, DURATION.name, FAILURES.name),
    grants=("GRANT CONNECT ON DATABASE control_core_db TO cc_exporter",),
)
class PostgresCanaryCollector:
    """Opens a new connection; the other collectors query the database only while it can take the load.

    Component `database` is up like postgres_up. Exhausted is up: the server serves its clients and refuses only new
    ones. Refused, unreachable, timed out or starting is down. When only our own access fails (OUR_ACCESS), it is
    unknown whether the server serves others.
    """

    def __init__(
        self,
        settings: PostgresCanarySettings,
        address: PostgresAddress,
        clock: Clock,
        health: DatabaseHealth,
        probe: Probe,
        server_changes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._address = address
        self._clock = clock
        self._health = health
        self._probe = probe
        self._server_changes = server_changes
        self._failed_at: deque[float] = deque()
        self._failures = Counter(FAILURES).initialise((reason,) for reason in CONNECTION_REASONS)
        self._durations = Histogram(DURATION).initialise([()])

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PostgresCanarySettings, sources: Sources) -> AsyncIterator[PostgresCanaryCollector]:
        """Yields the collector; raises NotConfiguredError without a database address."""
        session, address = sources.postgres, sources.postgres_address
        if session is None or address is None:
            raise NotConfiguredError("no database is configured: set database.url")
        # Through the session, so that it learns which server a new client meets.
        yield cls(
            settings, address, sources.clock, sources.database_health, session.probe, lambda: session.server_changes
        )

    async def collect(self) -> Result:
        """Tries once and publishes the verdict; a database that is down is a verdict, not an error."""
        failed: BackendError | None = None
        seconds: float | None = None
        try:
            seconds = await self._probe(self._address, self._settings.probe_timeout_seconds)
        except BackendError as error:
            failed = error
        reason = None if failed is None else failed.reason
        now = self._clock.monotonic()
        self._health.is_ok = reason is None
        self._health.seconds = seconds
        self._health.checked_monotonic = now
        self._count(reason, seconds, now)
        refused = {} if failed is None or reason not in OUR_ACCESS else {COMPONENT: self._address.own_fault(failed)}
        return replace(self._result(reason), refused=refused)

    def _count(self, reason: Reason | None, seconds: float | None, now: float) -> None:
        """Adds one attempt to the histogram or to the failures, and forgets failures older than the window."""
        if seconds is not None:
            self._durations.observe(seconds)
        if reason is not None:
            self._failures.add((reason,))
            self._failed_at.append(now)
        while self._failed_at and self._failed_at[0] <= now - WINDOW_SECONDS:
            self._failed_at.popleft()

    def _result(self, reason: Reason | None) -> Result:
        """The verdict of one attempt; `reason` None means that it succeeded."""
        is_exhausted = reason is Reason.EXHAUSTED
        is_up = None if reason in OUR_ACCESS else reason is None or is_exhausted
        families = (
            UP.value(is_up),
            EXHAUSTED.value(is_exhausted if is_up else None),
            self._durations.family(),
            self._failures.family(),
            SERVER_CHANGES.value(self._server_changes()),
            GUIDE_FAILED.value(len(self._failed_at)),
        )
        return Result(families, {} if is_up is None else {COMPONENT: is_up})
