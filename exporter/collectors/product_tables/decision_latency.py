"""Measures how long decisions took, from the audit log of a product that writes it (2026.04 and later)."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import DECISION_EVENTS, ENVIRONMENTS, environment_label
from exporter.collectors.product_tables.watermark import TableFollower
from exporter.items import count_of, read_each
from exporter.metrics import FAST_BUCKETS, Histogram, Kind, Metric, Stability
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

DURATION = Metric(
    "controlcore_policy_decision_duration_seconds",
    "Duration of decisions according to the audit log; absent without a readable duration column.",
    Kind.HISTOGRAM,
    labels=("policy_environment",),
    unit="seconds",
    stability=Stability.EXPERIMENTAL,
    buckets=FAST_BUCKETS,
)

COLUMN = re.compile(r"(?:[a-z0-9_]*_)?(?:latency|duration|evaluation_time)_(ms|us|ns|s|seconds|milliseconds)")
"""A column whose name shows that it is a duration, with its unit; without a unit the value is unknown."""
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "milliseconds": 1e-3, "s": 1.0, "seconds": 1.0}

# Ids in ($1, $2] only, over the primary key. The bucket is the number of bounds ($4) below the value, since a bucket's
# upper bound belongs to it. NaN counts as larger than infinity, so that both and null are left out.
COUNTS = """
SELECT environment, (SELECT count(*) FROM unnest($4::float8[]) AS bound WHERE bound < seconds)::int AS bucket,
       count(*) AS decisions, sum(seconds)::float8 AS seconds
  FROM (SELECT {environment} AS environment, "{column}"::float8 * $3::float8 AS seconds
          FROM audit_logs
         WHERE id > $1 AND id <= $2 AND event_type::text = ANY($5::text[])) AS decision
 WHERE seconds >= 0 AND seconds < 'infinity'
 GROUP BY 1, 2
"""


class DecisionLatencySettings(CollectorSettings):
    """Where the durations are stored."""

    interval_seconds: float = Field(default=10.0, gt=0)
    """Seconds between two readings. A decision is counted one to two readings after it was written."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    settle_seconds: float = Field(default=5.0, ge=0)
    """How long an id must have been visible before it is counted. Too small misses rows that commit out of order."""
    column: str = Field(default="", pattern=r"^([a-z_][a-z0-9_]{0,62})?$")
    """Column of audit_logs that holds the duration; empty takes the first column with such a name, such as
    latency_ms."""
    unit_seconds: float = Field(default=0.001, gt=0)
    """Seconds of one unit of `column`; used only when that is given and its name does not say the unit."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=DecisionLatencySettings,
    metrics=(DURATION,),
    always=(DURATION.name,),
    grants=("GRANT SELECT (id, event_type, environment) ON audit_logs TO cc_exporter",),
)
class DecisionLatencyCollector:
    """Reads the durations of new decisions; 2025.10 writes none.

    The column needs a separate grant, because its name differs: GRANT SELECT (latency_ms) ON audit_logs TO cc_exporter.
    """

    def __init__(self, settings: DecisionLatencySettings, sources: Sources, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres
        self._clock = sources.clock
        needed = frozenset({"event_type"})
        self._follower = TableFollower.kept("audit_logs", needed, settings.settle_seconds, sources, "decision_latency")
        self._durations = sources.kept.of(partial(Histogram, DURATION), DURATION.name)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: DecisionLatencySettings, sources: Sources) -> AsyncIterator[DecisionLatencyCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources, sources.postgres)

    async def collect(self) -> Result:
        """Counts what has settled; raises BackendError when the log cannot be read, and then counts nothing twice."""
        look = await self._follower.look(self._fetch, self._clock.monotonic())
        found = find_column(look.table.columns, self._settings)
        if found is None:
            self._follower.confirm(look)
        else:
            self._durations.initialise((environment,) for environment in ENVIRONMENTS)
        if found is not None and look.span is not None:
            environment = "environment::text" if "environment" in look.table.columns else "NULL::text"
            sql = COUNTS.format(environment=environment, column=found[0])
            rows = await self._fetch(sql, *look.span, found[1], list(FAST_BUCKETS), list(DECISION_EVENTS))
            self._follower.confirm(look)

            def read(row: Mapping[str, Any]) -> None:
                labels = (environment_label(row["environment"], "audit_logs.environment"),)
                self._durations.add(row["bucket"], count_of(row, "decisions"), row["seconds"], labels)

            read_each(rows, read)
        return Result((self._durations.family(),))

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)


def find_column(columns: Iterable[str], settings: DecisionLatencySettings) -> tuple[str, float] | None:
    """The readable column of durations with the seconds of its unit, or None where there is none."""
    known = {name: SECONDS[match.group(1)] for name in sorted(columns) if (match := COLUMN.fullmatch(name))}
    if settings.column:
        unit = known.get(settings.column, settings.unit_seconds)
        return (settings.column, unit) if settings.column in set(columns) else None
    return next(iter(known.items()), None)
