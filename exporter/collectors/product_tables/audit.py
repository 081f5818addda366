"""Watches the audit log itself: its oldest row, its size, and whether the product can still read it.

It never reads the whole log: it counts in chunks of ids, a few in each collection.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import PARSED_EVENT_TYPES, PARSED_OUTCOMES
from exporter.collectors.product_tables.watermark import TABLE, read_table
from exporter.items import amount_of, count_of, read_each
from exporter.metrics import Metric
from exporter.settings import Scope
from exporter.sources.product_zone import read_zone, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

OLDEST = Metric(
    "controlcore_audit_oldest_event_timestamp_seconds",
    "Time of the audit row with the lowest id; absent for an empty log.",
    unit="seconds",
)
ROWS = Metric(
    "controlcore_audit_rows",
    "Estimated rows of the audit log, as of its last VACUUM or ANALYZE; absent before the first.",
)
SIZE = Metric("controlcore_audit_log_bytes", "Size of the audit log on disk with its indexes.", unit="bytes")
UNPARSEABLE = Metric(
    "controlcore_audit_unparseable_rows",
    "Audit rows that make the 2025.10 API's GET /audit/logs answer 500: a lower bound until every row has "
    "been checked.",
)

# pg_class.reltuples is -1 (before PostgreSQL 14: 0, with relpages 0) until the first VACUUM or ANALYZE; it costs
# nothing. The sizes of a table need no right on it.
SIZES = """
SELECT CASE WHEN reltuples < 0 OR (reltuples = 0 AND relpages = 0) THEN NULL ELSE reltuples::float8 END AS rows,
       pg_total_relation_size(oid) AS size_bytes
  FROM pg_class WHERE oid = $1::bigint::oid
"""

# Over the primary key's index: the first row in id order is the first that a purge by age removes. The zone in which
# the product writes ($1) makes its time an instant, because it is a now() default (exporter/sources/product_zone.py).
EDGES = """
SELECT (SELECT min(id) FROM audit_logs) AS lowest, (SELECT max(id) FROM audit_logs) AS highest,
       extract(epoch FROM first.at)::float8 AS as_utc, extract(epoch FROM first.at AT TIME ZONE $1)::float8 AS oldest,
       extract(epoch FROM now())::float8 AS now
  FROM (SELECT 1) AS one
  LEFT JOIN LATERAL (SELECT "timestamp" AS at FROM audit_logs WHERE isfinite("timestamp") ORDER BY id LIMIT 1) AS first
    ON true
"""

# Ids in [$1, $2) only. A null is not counted: it is not known to break anything.
CHUNK = """
SELECT count(*) AS unparseable
  FROM audit_logs
 WHERE id >= $1 AND id < $2 AND (event_type::text <> ALL($3::text[]) OR outcome::text <> ALL($4::text[]))
"""


class AuditSettings(CollectorSettings):
    """How the audit log is examined."""

    interval_seconds: float = Field(default=60.0, gt=0)
    """Seconds between two collections. Smaller reads the log more often."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    chunk_rows: int = Field(default=50_000, ge=1)
    """Ids that one query reads, some 20 ms of work. Larger makes single queries slower."""
    chunks_per_collection: int = Field(default=4, ge=2)
    """Queries in one collection: always the newest chunk, then chunks never counted, then the one counted longest ago.
    Larger covers a long log sooner and costs more.
    """


class Sweep:
    """Keeps a count for each chunk of ids, newest first, and says which to count next."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._identity: tuple[int, int] | None = None
        self._counts: dict[int, int] = {}
        """By chunk number, in the order in which they were counted last."""
        self._range = range(0)

    def choose(self, identity: tuple[int, int], edges: tuple[int, int] | None, budget: int) -> list[tuple[int, int]]:
        """Up to `budget` spans [from, to) of ids to count now. `edges` are lowest and highest id, None when empty.

        Ids outside the edges were purged and no longer count; a new table (FollowedTable.identity) starts over.
        """
        if identity != self._identity:
            self._identity, self._counts = identity, {}
        self._range = range(0) if edges is None else range(edges[0] // self._size, edges[1] // self._size + 1)
        self._counts = {chunk: count for chunk, count in self._counts.items() if chunk in self._range}
        if not self._range:
            return []
        chosen = [self._range[-1]]
        for chunk in reversed(self._range[:-1]):
            if len(chosen) >= budget or len(self._counts) >= len(self._range):
                break
            if chunk not in self._counts:
                chosen.append(chunk)
        chosen += [chunk for chunk in self._counts if chunk not in chosen][: max(0, budget - len(chosen))]
        return [(chunk * self._size, (chunk + 1) * self._size) for chunk in chosen]

    def note(self, start: int, count: int) -> None:
        """Stores the count of the span that starts at this id."""
        chunk = start // self._size
        self._counts.pop(chunk, None)
        self._counts[chunk] = count

    def total(self) -> int | None:
        """The sum of all chunks. While some are uncounted it is a lower bound, and None when that bound is 0."""
        total = sum(self._counts.values())
        return total if total > 0 or len(self._counts) == len(self._range) else None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=AuditSettings,
    metrics=(OLDEST, ROWS, SIZE, UNPARSEABLE),
    grants=('GRANT SELECT (id, "timestamp", event_type, outcome) ON audit_logs TO cc_exporter',),
)
class AuditCollector:
    """Reads the oldest row, size and row estimate of audit_logs, and counts rows that the product cannot parse."""

    def __init__(self, settings: AuditSettings, postgres: PostgresSession, sources: Sources) -> None:
        self._settings = settings
        self._zone, self._role = sources.product_zone, sources.settings.database.role
        self._postgres = postgres
        make = partial(Sweep, settings.chunk_rows)
        self._sweep = sources.kept.of(make, "audit.sweep", sources.settings.database.url, settings.chunk_rows)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: AuditSettings, sources: Sources) -> AsyncIterator[AuditCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres, sources)

    async def collect(self) -> Result:
        """Reads sizes and edges and counts the next chunks; raises BackendError when the log cannot be read.

        Without the columns needed for the count of unparseable rows, that count is absent and the failure says why.
        """
        table = read_table("audit_logs", await self._fetch(TABLE, "audit_logs"), frozenset({"id", "timestamp"}))
        sizes = (await self._fetch(SIZES, table.oid))[0]
        zone = await read_zone(self._fetch, "audit_logs", self._role)
        edges = (await self._fetch(EDGES, zone))[0]
        oldest = self._zone.past(written(edges, "as_utc", "oldest"), edges.get("now"))
        families = [
            OLDEST.value(oldest),
            ROWS.value(amount_of(sizes.get("rows"))),
            SIZE.value(amount_of(sizes.get("size_bytes"))),
        ]
        failure = table.lacks("event_type", "outcome")
        if failure is None:
            families.append(UNPARSEABLE.value(await self._count(table.identity, edges)))
        return Result(tuple(families), failure=failure)

    async def _count(self, identity: tuple[int, int], edges: Mapping[str, Any]) -> int | None:
        """Counts the next chunks; returns the count for the whole log as far as known."""
        if edges.get("lowest") is None and edges.get("highest") is None:
            ends = None
        else:
            found = read_each([edges], lambda row: (count_of(row, "lowest"), count_of(row, "highest")))
            if not found:
                return None
            ends = found[0]
        for start, end in self._sweep.choose(identity, ends, self._settings.chunks_per_collection):
            known = (list(PARSED_EVENT_TYPES), list(PARSED_OUTCOMES))
            for count in read_each(
                await self._fetch(CHUNK, start, end, *known), lambda row: count_of(row, "unparseable")
            ):
                self._sweep.note(start, count)
        return self._sweep.total()

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)
