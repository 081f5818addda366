"""Counts access decisions and other events from the audit log: each new row once.

The count follows ids, not times (see watermark.py): audit_logs.timestamp has no time zone, and the product may write in
another zone than the server's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import (
    DECISION_EVENTS,
    ENVIRONMENTS,
    born_events,
    decision_labels,
    environment_label,
    event_labels,
    generation_of,
)
from exporter.collectors.product_tables.watermark import (
    FollowedTable,
    RecentSpan,
    TableFollower,
    WatermarkReading,
)
from exporter.items import count_of, read_each
from exporter.metrics import Counter, Kind, Metric, Stability
from exporter.settings import Scope
from exporter.sources.product_zone import WrittenTime, read_zone, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.clock import Clock
    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

POLICY_DECISIONS = Metric(
    "controlcore_policy_decisions_total",
    "Access decisions in the audit log since this process began to watch it.",
    Kind.COUNTER,
    labels=("policy_environment", "decision"),
)
LAST_EVENT = Metric(
    "controlcore_audit_last_event_timestamp_seconds",
    "Time of the newest audit row of any kind; absent for an environment without a recent row.",
    labels=("policy_environment",),
    unit="seconds",
)
GUIDE_EVALUATIONS = Metric(
    "policy_evaluations_total",
    "Access decisions in the audit log (name of the DevOps guide).",
    Kind.COUNTER,
    labels=("policy_environment", "decision"),
    stability=Stability.GUIDE,
)

EVENTS = Metric(
    "controlcore_audit_events_total",
    "Rows of any kind written to the audit log since this process began to watch it, including canaries.",
    Kind.COUNTER,
    labels=("policy_environment", "event_type", "outcome"),
)
GENERATION = Metric(
    "controlcore_schema_generation",
    "Always 1; the label is the generation of the product's schema: 2025.10, 2026.04+ or unknown.",
    labels=("generation",),
)

# 2026.04 dropped this table; the product never wrote to it.
DECISION_REQUESTS = "SELECT to_regclass('decision_requests') IS NOT NULL AS is_there"

# Ids in ($1, $2] only: the primary key's index makes it cheap however long the log is. The
# casts let the columns be enums as well, and keep a value that an enum does not know from being an error.
COUNTS = """
SELECT {environment} AS environment, event_type::text AS event_type, {outcome} AS outcome, count(*) AS events,
       count(*) FILTER (WHERE true{canaries}) AS without_canaries
  FROM audit_logs
 WHERE id > $1 AND id <= $2
 GROUP BY 1, 2, 3
"""

# "timestamp" has a now() default without a zone: the zone in which the product writes ($3) makes it an instant
# (exporter/sources/product_zone.py).
NEWEST = """
SELECT {environment} AS environment,
       extract(epoch FROM max("timestamp") FILTER (WHERE isfinite("timestamp")))::float8 AS as_utc,
       extract(epoch FROM max("timestamp") FILTER (WHERE isfinite("timestamp")) AT TIME ZONE $3)::float8 AS last,
       extract(epoch FROM now())::float8 AS now
  FROM audit_logs
 WHERE id > $1 AND id <= $2
 GROUP BY 1
"""


class DecisionsSettings(CollectorSettings):
    """How the audit log is followed."""

    interval_seconds: float = Field(default=6.0, gt=0)
    """Seconds between two readings. A decision is counted one to two readings after it was written. Slightly above
    settle_seconds, so that each reading settles the previous one; much larger delays the count.
    """
    timeout_seconds: float = 5.0
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    settle_seconds: float = Field(default=5.0, ge=0)
    """How long an id must have been visible before it is counted. Too small misses rows that commit out of order;
    larger delays the count."""
    recent_rows: int = Field(default=10_000, ge=1)
    """How many of the newest ids are searched for each environment's last event at start. Too small leaves a quiet
    environment absent until its next event, too large reads much of a long log once."""
    canary_users: tuple[str, ...] = ("canary-allow", "canary-deny")
    """Principals left out of the count. It needs SELECT on the column "user". The grants leave this column out because
    it names people; without it nothing is left out by user. The bouncers' canaries write no row."""
    canary_policies: tuple[str, ...] = ()
    """Values of policy_name left out of the count, for canaries that ask the control plane's own /decisions/evaluate.
    The standard grants allow reading the column. Never name a policy that people use."""


def counts_sql(columns: frozenset[str], settings: DecisionsSettings) -> tuple[str, tuple[object, ...]]:
    """The query COUNTS for the readable columns, and its arguments after the two ids."""
    canaries, arguments = "", []
    for column, names in (('"user"', settings.canary_users), ("policy_name", settings.canary_policies)):
        if names and column.strip('"') in columns:
            arguments.append(list(names))
            canaries += f" AND ({column} IS NULL OR {column}::text <> ALL(${len(arguments) + 2}::text[]))"
    outcome = "outcome::text" if "outcome" in columns else "NULL::text"
    return COUNTS.format(environment=environment_sql(columns), outcome=outcome, canaries=canaries), tuple(arguments)


def environment_sql(columns: frozenset[str]) -> str:
    """The environment's expression; null without one, which becomes `other`."""
    return "environment::text" if "environment" in columns else "NULL::text"


@dataclass(slots=True)
class NewestEvents:
    """The newest rows, and how far they were searched for."""

    recent: RecentSpan
    times: dict[str, tuple[WrittenTime, float]] = field(default_factory=dict)
    """The newest row's time by environment, with the database's time at which it was read."""
    searched_monotonic: float = 0.0


@collector(
    scope=Scope.DEPLOYMENT,
    settings=DecisionsSettings,
    metrics=(POLICY_DECISIONS, EVENTS, LAST_EVENT, GENERATION, GUIDE_EVALUATIONS),
    grants=(
        'GRANT SELECT (id, "timestamp", event_type, outcome, environment, policy_name) ON audit_logs TO cc_exporter',
    ),
)
class DecisionsCollector:
    """Counts audit rows; ACCESS_GRANTED and ACCESS_DENIED rows count as decisions.

    The control plane records all its own decisions under sandbox.
    """

    def __init__(self, settings: DecisionsSettings, postgres: PostgresSession, sources: Sources) -> None:
        self._settings = settings
        self._postgres = postgres
        self._clock: Clock = sources.clock
        self._zone, self._role = sources.product_zone, sources.settings.database.role
        needed = frozenset({"event_type"})
        self._follower = TableFollower.kept("audit_logs", needed, settings.settle_seconds, sources, "decisions")
        kept, database = sources.kept, sources.settings.database.url
        self._newest = kept.of(
            lambda: NewestEvents(RecentSpan(settings.recent_rows)), "decisions.newest", database, settings.recent_rows
        )
        initial = [(environment, decision) for environment in ENVIRONMENTS for decision in ("permit", "deny")]
        self._decisions = kept.of(partial(Counter, POLICY_DECISIONS), POLICY_DECISIONS.name).initialise(initial)
        self._events = kept.of(partial(Counter, EVENTS), EVENTS.name).initialise(born_events())

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: DecisionsSettings, sources: Sources) -> AsyncIterator[DecisionsCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres, sources)

    async def collect(self) -> Result:
        """Counts what has settled; raises BackendError when the log cannot be read, and then counts nothing twice.

        Without a readable column "timestamp" the time of the last event is absent, and that is the failure.
        """
        look = await self._follower.look(self._fetch, self._clock.monotonic())
        if look.span is not None:
            await self._count(look)
        failure = look.table.lacks("timestamp")
        if failure is None and look.highest is not None:
            await self._follow_newest(look.table.columns, look.highest)
        families = (
            self._decisions.family(),
            self._events.family(),
            LAST_EVENT.family(self._last_times()),
            GENERATION.family({(await self._generation(look.table),): 1}),
            GUIDE_EVALUATIONS.family(self._decisions.values),
        )
        return Result(families, failure=failure)

    async def _count(self, look: WatermarkReading) -> None:
        """Adds the rows with the ids of this reading."""
        columns = look.table.columns
        sql, arguments = counts_sql(columns, self._settings)
        rows = await self._fetch(sql, *(look.span or ()), *arguments)
        self._follower.confirm(look)

        def read(row: Mapping[str, Any]) -> None:
            environment, event_type, outcome = row["environment"], row["event_type"], row["outcome"]
            events, decisions = count_of(row, "events"), count_of(row, "without_canaries")
            self._events.add(event_labels(environment, event_type, outcome), events)
            if event_type in DECISION_EVENTS:
                decision = outcome if "outcome" in columns else event_type
                self._decisions.add(decision_labels(environment, decision), decisions)

        read_each(rows, read)

    async def _follow_newest(self, columns: frozenset[str], highest: int) -> None:
        """Searches the rows since the last reading for each environment's latest time."""
        zone = await read_zone(self._fetch, "audit_logs", self._role)
        newest = self._newest
        span = newest.recent.next(highest)
        rows = await self._fetch(NEWEST.format(environment=environment_sql(columns)), *span, zone)
        now_monotonic = self._clock.monotonic()
        window, newest.searched_monotonic = now_monotonic - newest.searched_monotonic, now_monotonic

        def read(row: Mapping[str, Any]) -> None:
            time = written(row, "as_utc", "last")
            if time is None:
                return
            if not newest.recent.is_first:
                self._zone.observe(time, row["now"], window)
            environment = environment_label(row["environment"], "audit_logs.environment")
            newest.times[environment] = time, row["now"]

        read_each(rows, read)
        newest.recent.confirm(highest)

    def _last_times(self) -> dict[tuple[str], float]:
        """The newest row's Unix time by environment; one in the future is unknown."""
        times = {name: self._zone.past(time, now) for name, (time, now) in self._newest.times.items()}
        return {(name,): at for name, at in times.items() if at is not None}

    async def _generation(self, table: FollowedTable) -> str:
        """The generation of the schema as it is now."""
        rows = await self._fetch(DECISION_REQUESTS)
        return generation_of(table.all_columns, has_decision_requests=rows[0]["is_there"])

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)
