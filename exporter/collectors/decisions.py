"""Counts access decisions from the audit log, each row once, and never one that was not made while we watched.

The count follows ids, not times: audit_logs.timestamp has no time zone, and the product may write another zone's time
than the server's. A row is counted once the highest id that could be seen has been at least `settle_seconds` old, so
that transactions which took a lower id but commit later are in. One that takes longer than that may be missed.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from chassis.errors import PermanentError, Reason
from exporter.catalogue import Counter, Kind, Metric, Stability
from exporter.collectors import CollectorSettings, NotConfiguredError, Result, Scope, collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.clock import Clock
    from chassis.postgres import PostgresSession
    from exporter.sources import Sources

ENVIRONMENTS = ("sandbox", "production")
DECISIONS = {"PERMIT": "permit", "ACCESS_GRANTED": "permit", "DENY": "deny", "ACCESS_DENIED": "deny"}
"""outcome (or, in a schema without that column, event_type) as a label value; anything else is `other`."""
OTHER = "other"

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

# pg_attribute and pg_class, PostgreSQL 9.6+. Which columns there are differs between generations of the product, and
# which we may read between installations. A table that was dropped and restored has another oid. On a replica the
# highest id may fall behind and catch up again, so a lower id there does not mean a table that begins anew.
TABLE = """
SELECT c.oid::bigint AS oid, pg_is_in_recovery() AS is_replica,
       array(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND has_column_privilege(c.oid, a.attnum, 'SELECT')) AS columns
  FROM pg_class c WHERE c.oid = to_regclass('audit_logs')
"""

HIGHEST = "SELECT max(id) AS highest FROM audit_logs"

# Ids in ($1, $2] only: the primary key's index makes it cheap however long the log is. The
# casts let the columns be enums as well, and keep a value that an enum does not know from being an error.
COUNTS = """
SELECT {environment} AS environment, {decision} AS decision, count(*) AS events
  FROM audit_logs
 WHERE id > $1 AND id <= $2 AND event_type::text IN ('ACCESS_GRANTED', 'ACCESS_DENIED'){canaries}
 GROUP BY 1, 2
"""

# "timestamp" is the server's local time without a zone (a now() default), so the server's own zone makes it an instant.
NEWEST = """
SELECT {environment} AS environment,
       extract(epoch FROM max("timestamp") AT TIME ZONE current_setting('TimeZone'))::float8 AS last
  FROM audit_logs
 WHERE id > $1 AND id <= $2
 GROUP BY 1
"""


class DecisionsSettings(CollectorSettings):
    """How the audit log is followed."""

    interval_seconds: float = Field(default=6.0, gt=0)
    """Seconds between two looks. A decision is counted one to two looks after it was written. Slightly above
    settle_seconds, so that each look settles the one before; much larger delays the count."""
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
    """Principals left out of the count. It needs SELECT on the column "user", which names people and which the grants
    below therefore leave out: without it nothing is left out by user. The bouncers' canaries write no row at all."""
    canary_policies: tuple[str, ...] = ()
    """Values of policy_name left out of the count: the standard grants allow it, so canaries that ask the control
    plane's own /decisions/evaluate can be told by their policy. A policy that people use must not be named here."""


@dataclass(frozen=True, slots=True)
class AuditTable:
    """What can be known of audit_logs here."""

    oid: int
    is_replica: bool
    columns: frozenset[str]

    @property
    def environment_sql(self) -> str:
        """The environment's expression; null where there is none, which becomes `other`."""
        return "environment::text" if "environment" in self.columns else "NULL::text"

    def counts_sql(self, settings: DecisionsSettings) -> tuple[str, tuple[object, ...]]:
        """COUNTS for these columns, and the arguments after the two ids."""
        canaries, arguments = "", []
        for column, names in (('"user"', settings.canary_users), ("policy_name", settings.canary_policies)):
            if names and column.strip('"') in self.columns:
                arguments.append(list(names))
                canaries += f"\n   AND ({column} IS NULL OR {column}::text <> ALL(${len(arguments) + 2}::text[]))"
        decision = "outcome::text" if "outcome" in self.columns else "event_type::text"
        sql = COUNTS.format(environment=self.environment_sql, decision=decision, canaries=canaries)
        return sql, tuple(arguments)


class Watermark:
    """Decides which ids may be counted now: each at most once, and none that was there before we watched."""

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._oid: int | None = None
        self._counted: int | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def advance(self, table: AuditTable, highest: int | None, now: float) -> tuple[int, int] | None:
        """The ids (after, up to) to count now, or None. `highest` is None for an empty table, `now` monotonic seconds.

        Nothing is counted in the first look, after the table was replaced, or when the highest id fell: there the
        watermark begins anew at the highest id, or, in an empty table, at the first that is seen, because rows that
        appear there together may be a restored backup. Call `confirm` once the ids are counted.
        """
        if self._counted is None or table.oid != self._oid or self._has_fallen(table, highest):
            self._oid = table.oid
            self._counted = highest
            self._seen.clear()
        if self._counted is None or highest is None:
            return None
        if highest > (self._seen[-1][1] if self._seen else self._counted):
            self._seen.append((now, highest))
        settled = [seen for at, seen in self._seen if at <= now - self._settle_seconds]
        return (self._counted, settled[-1]) if settled else None

    def confirm(self, up_to: int) -> None:
        """Notes that the ids up to here are counted."""
        self._counted = up_to
        while self._seen and self._seen[0][1] <= up_to:
            self._seen.popleft()

    def _has_fallen(self, table: AuditTable, highest: int | None) -> bool:
        """Whether ids begin anew: the highest is lower than what is counted, and no replica is merely behind."""
        return highest is not None and self._counted is not None and highest < self._counted and not table.is_replica


@collector(
    scope=Scope.DEPLOYMENT,
    settings=DecisionsSettings,
    metrics=(POLICY_DECISIONS, LAST_EVENT, GUIDE_EVALUATIONS),
    grants=(
        'GRANT SELECT (id, "timestamp", event_type, outcome, environment, policy_name) ON audit_logs TO cc_exporter',
    ),
)
class DecisionsCollector:
    """Counts ACCESS_GRANTED and ACCESS_DENIED rows; the control plane files each decision of its own under sandbox."""

    def __init__(self, settings: DecisionsSettings, postgres: PostgresSession, clock: Clock) -> None:
        self._settings = settings
        self._postgres = postgres
        self._clock = clock
        self._watermark = Watermark(settings.settle_seconds)
        self._last_id: int | None = None
        self._last_events: dict[str, float] = {}
        born = [(environment, decision) for environment in ENVIRONMENTS for decision in ("permit", "deny")]
        self._decisions = Counter(POLICY_DECISIONS).born(born)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: DecisionsSettings, sources: Sources) -> AsyncIterator[DecisionsCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured")
        yield cls(settings, sources.postgres, sources.clock)

    async def collect(self) -> Result:
        """Counts what has settled; raises BackendError when the log cannot be read, and then counts nothing twice."""
        table = read_table(await self._fetch(TABLE))
        highest = (await self._fetch(HIGHEST))[0]["highest"]
        span = self._watermark.advance(table, highest, self._clock.monotonic())
        if span is not None:
            sql, arguments = table.counts_sql(self._settings)
            rows = await self._fetch(sql, *span, *arguments)
            self._watermark.confirm(span[1])
            for row in rows:
                self._decisions.add(label_values(row["environment"], row["decision"]), row["events"])
        if highest is not None and "timestamp" in table.columns:
            await self._follow_newest(table, highest)
        last = LAST_EVENT.family([((environment,), at) for environment, at in self._last_events.items()])
        return Result((self._decisions.family(), last, GUIDE_EVALUATIONS.family(self._decisions.values)))

    async def _follow_newest(self, table: AuditTable, highest: int) -> None:
        """Looks at the rows that are new since the last look for each environment's latest time."""
        if self._last_id is None or highest < self._last_id:
            self._last_id = max(0, highest - self._settings.recent_rows)
        rows = await self._fetch(NEWEST.format(environment=table.environment_sql), self._last_id, highest)
        for row in rows:
            if row["last"] is not None:
                environment = environment_label(row["environment"])
                self._last_events[environment] = max(row["last"], self._last_events.get(environment, row["last"]))
        self._last_id = highest

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)


def read_table(rows: Sequence[Mapping[str, Any]]) -> AuditTable:
    """TABLE's row; raises PermanentError when the table or a column that no count can do without is missing."""
    if not rows:
        raise PermanentError(Reason.MISSING, "there is no table audit_logs that this role can see")
    table = AuditTable(rows[0]["oid"], rows[0]["is_replica"], frozenset(rows[0]["columns"]))
    missing = {"id", "event_type"} - table.columns
    if missing:
        raise PermanentError(Reason.PERMISSION, f"audit_logs has no readable column {', '.join(sorted(missing))}")
    return table


def environment_label(environment: str | None) -> str:
    """The environment as a label value of a closed set."""
    return environment if environment in ENVIRONMENTS else OTHER


def label_values(environment: str | None, decision: str | None) -> tuple[str, str]:
    """(policy_environment, decision) of counted rows."""
    return environment_label(environment), DECISIONS.get(decision or "", OTHER)
