"""Reads how each bouncer's policies were synchronised: its state, and the outcomes in the history by id."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import environment_label
from exporter.collectors.product_tables.sync_rows import (
    Bouncer,
    Synced,
    count_syncs,
    read_bouncers,
    revision_skew,
    type_and_status,
)
from exporter.collectors.product_tables.watermark import RecentSpan, TableFollower, WatermarkReading
from exporter.items import amount_of, count_of, read_each, text_of, word_of
from exporter.metrics import Counter, Kind, Metric
from exporter.settings import Scope
from exporter.sources.product_zone import read_zone, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.clock import Clock
    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

TYPES = ("auto", "manual", "webhook")
STATUSES = ("success", "failed", "partial", "triggered")
BOUNCER = ("bouncer", "policy_environment")
CONFIGURED_ENVIRONMENT = "bouncer_opal_configuration.environment"

LAST_SUCCESS = Metric(
    "controlcore_bouncer_policy_sync_last_success_timestamp_seconds",
    "Time of the bouncer's last successful policy synchronisation that the control plane knows of.",
    labels=BOUNCER,
    unit="seconds",
)
FAILED = Metric(
    "controlcore_bouncer_policy_sync_failed", "Whether the bouncer's last synchronisation failed.", labels=BOUNCER
)
LOADED = Metric(
    "controlcore_bouncer_policies_loaded",
    "Policies that the bouncer loaded, according to the control plane; absent before its first successful "
    "synchronisation.",
    labels=BOUNCER,
)
INTERVAL = Metric(
    "controlcore_bouncer_policy_sync_interval_seconds",
    "Configured time between the bouncer's synchronisations.",
    labels=BOUNCER,
    unit="seconds",
)
DURATION = Metric(
    "controlcore_bouncer_policy_sync_duration_seconds",
    "Duration of the bouncer's last successful synchronisation in the history.",
    labels=BOUNCER,
    unit="seconds",
)
BOUNCER_SYNCS = Metric(
    "controlcore_bouncer_policy_syncs_total",
    "Synchronisations of the bouncer that ended, since this process began to watch the history.",
    Kind.COUNTER,
    labels=BOUNCER,
)
BOUNCER_FAILURES = Metric(
    "controlcore_bouncer_policy_sync_failures_total",
    "Synchronisations of the bouncer that failed, since this process began to watch the history.",
    Kind.COUNTER,
    labels=BOUNCER,
)
SYNCS = Metric(
    "controlcore_policy_syncs_total",
    "Rows of the synchronisation history of all bouncers, since this process began to watch it.",
    Kind.COUNTER,
    labels=("type", "status"),
)
SKEW = Metric(
    "controlcore_bouncer_policy_revision_skew",
    "Distinct revisions that the environment's bouncers synchronised last, minus one; absent when none is known.",
    labels=("policy_environment",),
)

# last_sync_time is UTC without a zone (utcnow()). bouncer_id is unique here and refers to a registered bouncer. Anyone
# can register one, hence the limit.
CONFIGURATION = """
SELECT bouncer_id::text AS bouncer, environment::text AS environment, polling_interval,
       lower(last_sync_status::text) AS status, policies_count,
       extract(epoch FROM last_sync_time AT TIME ZONE 'UTC')::float8 AS last_sync,
       extract(epoch FROM now())::float8 AS now
  FROM bouncer_opal_configuration
 ORDER BY (bouncer_id = ANY($1::text[])) DESC, bouncer_id
 LIMIT $2
"""

# Ids in ($1, $2] only, over the primary key.
COUNTS = """
SELECT bouncer_id::text AS bouncer, lower(sync_type::text) AS type, lower(status::text) AS status, count(*) AS syncs
  FROM bouncer_sync_history
 WHERE id > $1 AND id <= $2
 GROUP BY 1, 2, 3
"""

# The newest success of each bouncer among the ids. sync_time has a now() default: the zone in which the product writes
# ($3) makes it an instant (exporter/sources/product_zone.py).
NEWEST = """
SELECT DISTINCT ON (bouncer_id) bouncer_id::text AS bouncer, commit_sha::text AS revision,
       duration_ms::float8 / 1000 AS seconds,
       extract(epoch FROM sync_time)::float8 AS as_utc, extract(epoch FROM sync_time AT TIME ZONE $3)::float8 AS at,
       extract(epoch FROM now())::float8 AS now
  FROM bouncer_sync_history
 WHERE id > $1 AND id <= $2 AND lower(status::text) = 'success'
 ORDER BY bouncer_id, id DESC
"""


class PolicySyncSettings(CollectorSettings):
    """How the synchronisations are followed."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two readings; bouncers synchronise every 30 s. Smaller only adds queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    settle_seconds: float = Field(default=5.0, ge=0)
    """How long an id must have been visible before it is counted. Too small misses rows that commit out of order."""
    recent_rows: int = Field(default=10_000, ge=1)
    """How many of the newest ids are searched for each bouncer's last success at start. Too small leaves a bouncer that
    has not synchronised for long absent, too large reads much of a long history once."""
    max_bouncers: int = Field(default=200, ge=1)
    """Bouncers with their own series; configured ones come first."""


@dataclass(slots=True)
class SyncHistory:
    """Counts and newest results from the history, by bouncer."""

    ended: dict[str, int]
    failed: dict[str, int]
    newest: dict[str, Synced]
    recent: RecentSpan
    """The ids that were searched for the newest rows."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PolicySyncSettings,
    metrics=(SYNCS, SKEW, LAST_SUCCESS, FAILED, LOADED, INTERVAL, DURATION, BOUNCER_SYNCS, BOUNCER_FAILURES),
    grants=(
        "GRANT SELECT (bouncer_id, environment, polling_interval) ON bouncer_opal_configuration TO cc_exporter",
        "GRANT SELECT (last_sync_time, last_sync_status, policies_count) ON bouncer_opal_configuration TO cc_exporter",
        "GRANT SELECT (id, bouncer_id, sync_time, sync_type, status) ON bouncer_sync_history TO cc_exporter",
        "GRANT SELECT (duration_ms, commit_sha) ON bouncer_sync_history TO cc_exporter",
    ),
)
class PolicySyncCollector:
    """Reads bouncer_opal_configuration and bouncer_sync_history, which the 2025.10 product hardly writes."""

    def __init__(self, settings: PolicySyncSettings, sources: Sources, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres
        self._clock: Clock = sources.clock
        self._zone, self._role = sources.product_zone, sources.settings.database.role
        self._configured = [bouncer.name for bouncer in sources.settings.bouncers]
        needed = frozenset({"bouncer_id", "sync_type", "status"})
        kept, database = sources.kept, sources.settings.database.url
        self._follower = TableFollower.kept(
            "bouncer_sync_history", needed, settings.settle_seconds, sources, "policy_sync"
        )
        self._history = kept.of(
            lambda: SyncHistory({}, {}, {}, RecentSpan(settings.recent_rows)),
            "policy_sync.history",
            database,
            settings.recent_rows,
        )
        self._recent = self._history.recent
        self._syncs = kept.of(lambda: Counter(SYNCS), SYNCS.name)
        self._syncs.initialise((kind, status) for kind in TYPES for status in STATUSES)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PolicySyncSettings, sources: Sources) -> AsyncIterator[PolicySyncCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources, sources.postgres)

    async def collect(self) -> Result:
        """Reads state and history; raises BackendError when either cannot be read, and then counts nothing twice."""
        rows = await self._fetch(CONFIGURATION, self._configured, self._settings.max_bouncers)
        look = await self._follower.look(self._fetch, self._clock.monotonic())
        await self._count(look)
        await self._follow_newest(look.highest)
        return Result(self._publish(read_bouncers(rows)))

    async def _count(self, look: WatermarkReading) -> None:
        """Adds the rows with the ids of this reading."""
        if look.span is None:
            return
        rows: Sequence[Mapping[str, Any]] = await self._fetch(COUNTS, *look.span)
        self._follower.confirm(look)

        def read(row: Mapping[str, Any]) -> None:
            syncs = count_of(row, "syncs")
            self._syncs.add(type_and_status(row["type"], row["status"], TYPES, STATUSES), syncs)

        read_each(rows, read)
        count_syncs(rows, self._history.ended, self._history.failed)

    async def _follow_newest(self, highest: int | None) -> None:
        """Searches the rows since the last reading for each bouncer's newest success."""
        if highest is None:
            return
        zone = await read_zone(self._fetch, "bouncer_sync_history", self._role)

        def read(row: Mapping[str, Any]) -> None:
            at = self._zone.past(written(row, "as_utc", "at"), row["now"])
            self._history.newest[text_of(row, "bouncer")] = Synced(
                at, amount_of(row["seconds"]), word_of(row["revision"])
            )

        read_each(await self._fetch(NEWEST, *self._recent.next(highest), zone), read)
        self._recent.confirm(highest)

    def _publish(self, bouncers: Sequence[Bouncer]) -> tuple[Family, ...]:
        """The families of these bouncers; what is null is absent."""
        rows: dict[Metric, dict[tuple[str, ...], float | None]] = {}
        for bouncer in bouncers:
            newest = self._history.newest.get(bouncer.name, Synced())
            values: dict[Metric, float | None] = {
                LAST_SUCCESS: max((at for at in (bouncer.last_success, newest.at) if at is not None), default=None),
                FAILED: bouncer.has_failed,
                LOADED: bouncer.policies,
                INTERVAL: bouncer.interval_seconds,
                DURATION: newest.seconds,
                BOUNCER_SYNCS: self._history.ended.setdefault(bouncer.name, 0),
                BOUNCER_FAILURES: self._history.failed.setdefault(bouncer.name, 0),
            }
            for metric, value in values.items():
                rows.setdefault(metric, {})[
                    bouncer.name, environment_label(bouncer.environment, CONFIGURED_ENVIRONMENT)
                ] = value
        families = [
            metric.family((labels, value) for labels, value in values.items() if value is not None)
            for metric, values in rows.items()
        ]
        skew = revision_skew(bouncers, {name: synced.revision for name, synced in self._history.newest.items()})
        return (*families, self._syncs.family(), SKEW.family({(name,): value for name, value in skew.items()}))

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)
