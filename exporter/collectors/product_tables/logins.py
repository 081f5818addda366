"""Counts successful and failed logins, each audit row once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.product_tables.watermark import TableFollower
from exporter.items import count_of, read_each
from exporter.metrics import Counter, Kind, Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

LOGINS = Metric(
    "controlcore_logins_total", "Logins in the audit log since this process began to watch it.", Kind.COUNTER
)
FAILURES = Metric(
    "controlcore_login_failures_total",
    "Failed logins in the audit log since this process began to watch it.",
    Kind.COUNTER,
)

# Ids in ($1, $2] only, over the primary key. The user is not read: no name becomes a label.
COUNTS = """
SELECT count(*) FILTER (WHERE event_type::text = 'USER_LOGIN') AS logins,
       count(*) FILTER (WHERE event_type::text = 'USER_LOGIN_FAILED') AS failures
  FROM audit_logs
 WHERE id > $1 AND id <= $2
"""


class LoginsSettings(CollectorSettings):
    """How the audit log is followed for logins."""

    interval_seconds: float = Field(default=10.0, gt=0)
    """Seconds between two readings. A login is counted one to two readings after it was written; much larger shows a
    brute-force attack late.
    """
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    settle_seconds: float = Field(default=5.0, ge=0)
    """How long an id must have been visible before it is counted. Too small misses rows that commit out of order."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=LoginsSettings,
    metrics=(LOGINS, FAILURES),
    grants=("GRANT SELECT (id, event_type) ON audit_logs TO cc_exporter",),
)
class LoginsCollector:
    """Counts USER_LOGIN and USER_LOGIN_FAILED rows of audit_logs by id, so that a purge or a restart adds nothing."""

    def __init__(self, settings: LoginsSettings, sources: Sources, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres
        self._clock = sources.clock
        needed = frozenset({"event_type"})
        self._follower = TableFollower.kept("audit_logs", needed, settings.settle_seconds, sources, "logins")
        self._logins = sources.kept.of(partial(Counter, LOGINS), LOGINS.name).initialise([()])
        self._failures = sources.kept.of(partial(Counter, FAILURES), FAILURES.name).initialise([()])

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: LoginsSettings, sources: Sources) -> AsyncIterator[LoginsCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources, sources.postgres)

    async def collect(self) -> Result:
        """Counts what has settled; raises BackendError when the log cannot be read, and then counts nothing twice."""
        look = await self._follower.look(self._fetch, self._clock.monotonic())
        if look.span is not None:
            rows = await self._fetch(COUNTS, *look.span)
            self._follower.confirm(look)
            read_each(rows, self._add)
        return Result((self._logins.family(), self._failures.family()))

    def _add(self, row: Mapping[str, Any]) -> None:
        """Adds the counts of COUNTS' row."""
        logins, failures = count_of(row, "logins"), count_of(row, "failures")
        self._logins.add((), logins)
        self._failures.add((), failures)

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)
