"""Watches the policy information points: the connections that supply the attributes for decisions."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from exporter.collector import NotConfiguredError, Result, collector
from exporter.collectors.control_plane.api_gate import GateSettings, ask, passing
from exporter.collectors.control_plane.pip_rows import (
    PIP_METRICS,
    ContainerZone,
    read_connections,
    read_counts,
    read_overdue,
)
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

SCHEDULER_PATH = "/pip/sync/scheduler-stats"
SCHEDULER = Metric(
    "controlcore_pip_scheduler_running",
    "Whether the API says that its synchronisation scheduler runs (never in 2025.10); absent when not queried.",
)

# The enum is stored in upper case. last_sync and the tokens' expires_at are the API container's local time without a
# zone ($1): the product writes datetime.now(). The 2025.10 product creates every connection as PENDING and sets ACTIVE
# only on request, so all are read.
CONNECTIONS = """
SELECT c.id, c.name::text AS name, c.provider::text AS provider, c.environment::text AS environment,
       lower(c.status::text) AS status, lower(c.health_status::text) AS health, c.sync_frequency,
       extract(epoch FROM c.last_sync)::float8 AS last_sync_as_utc,
       extract(epoch FROM c.last_sync AT TIME ZONE $1)::float8 AS last_sync,
       (SELECT extract(epoch FROM min(t.expires_at) AT TIME ZONE $1)::float8
          FROM oauth_tokens t WHERE t.connection_id = c.id) AS token_expiry,
       extract(epoch FROM now())::float8 AS now
  FROM pip_connections c
 ORDER BY (upper(c.status::text) = 'INACTIVE'), c.id
 LIMIT $2
"""

# Every connection, also those over the limit of series.
COUNTS = """
SELECT environment::text AS environment, lower(status::text) AS status, lower(health_status::text) AS health,
       count(*) AS connections
  FROM pip_connections
 GROUP BY 1, 2, 3
"""

# Overdue: an enabled connection whose last synchronisation is two intervals past, by the database's clock. One that
# never synchronised is not counted: its first interval begins at created_at, which is not granted. $2 is the measured
# correction of the zone.
OVERDUE = """
SELECT environment::text AS environment,
       count(*) FILTER (WHERE extract(epoch FROM now()) - extract(epoch FROM last_sync AT TIME ZONE $1) - $2::float8
                              > 2.0 * sync_frequency) AS overdue
  FROM pip_connections
 WHERE upper(status::text) <> 'INACTIVE' AND sync_enabled
 GROUP BY 1
"""


class PipSettings(GateSettings):
    """How the connections are read."""

    interval_seconds: float = Field(default=30.0, gt=0)
    """Seconds between two readings; connections synchronise every 5 minutes. Smaller only adds queries."""
    timeout_seconds: float = Field(default=8.0, gt=0)
    """Deadline of one collection; above the queries' and the request's together."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    request_timeout_seconds: float = Field(default=2.0, gt=0)
    """Deadline of the request to the API. Too small reports a busy API as silent."""
    api_time_zone: str = Field(default="UTC", pattern=r"^[A-Za-z0-9_+/-]{1,64}$")
    """Time zone of the API's container, in which the product writes these times; a name that PostgreSQL knows, such as
    Europe/Vienna. With a wrong zone every age is off by hours, until the exporter has seen two synchronisations end and
    corrects it. If the server does not know the name, the collector fails and logs it."""
    max_connections: int = Field(default=100, ge=1)
    """Connections with their own series; the others are still counted by environment and health."""
    ask_scheduler: bool = True
    """Whether to query the API about its scheduler. Off leaves its metric absent."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PipSettings,
    metrics=(*PIP_METRICS, SCHEDULER),
    grants=(
        "GRANT SELECT (id, name, provider, status, environment, health_status) ON pip_connections TO cc_exporter",
        "GRANT SELECT (sync_enabled, sync_frequency, last_sync) ON pip_connections TO cc_exporter",
        "GRANT SELECT (connection_id, expires_at) ON oauth_tokens TO cc_exporter",
    ),
)
class PipCollector:
    """Reads pip_connections and the expiry of oauth_tokens, never a credential; asks GET /pip/sync/scheduler-stats."""

    def __init__(self, settings: PipSettings, sources: Sources, postgres: PostgresSession) -> None:
        self._settings = settings
        self._sources = sources
        self._postgres = postgres
        database = sources.settings.database.url
        self._zone = sources.kept.of(ContainerZone, "pip.zone", database, settings.api_time_zone)
        self._looked_monotonic = -math.inf

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PipSettings, sources: Sources) -> AsyncIterator[PipCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources, sources.postgres)

    async def collect(self) -> Result:
        """Reads the tables, then queries the API; raises BackendError when the database does not answer."""
        zone = self._settings.api_time_zone
        connections = await self._fetch(CONNECTIONS, zone, self._settings.max_connections)
        now_monotonic = self._sources.clock.monotonic()
        self._zone.learn(connections, now_monotonic - self._looked_monotonic)
        self._looked_monotonic = now_monotonic
        families = [
            *read_connections(connections, self._zone),
            *read_counts(await self._fetch(COUNTS)),
            read_overdue(await self._fetch(OVERDUE, zone, self._zone.correction_seconds)),
        ]
        try:
            families.append(SCHEDULER.value(await self._is_scheduler_running()))
        except BackendError as error:
            return Result(tuple(families), failure=error)
        return Result(tuple(families))

    async def _is_scheduler_running(self) -> bool | None:
        """Whether the API's scheduler runs; None when it is not queried or lacks this endpoint."""
        url = self._sources.settings.api.url
        if url is None or not self._settings.ask_scheduler:
            return None
        async with passing(self._sources, self._settings) as is_open:
            if not is_open:
                return None
            try:
                call = Call(f"{url}{SCHEDULER_PATH}", self._settings.request_timeout_seconds)
                body = (await ask(self._sources, call)).require_ok().json()
            except PermanentError as error:
                if error.reason in {Reason.MISSING, Reason.AUTH, Reason.PERMISSION}:
                    return None
                raise
        running = body.get("running") if isinstance(body, dict) else None
        if not isinstance(running, bool):
            raise PermanentError(Reason.MALFORMED, f"the answer of {SCHEDULER_PATH} does not say whether it runs")
        return running

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)
