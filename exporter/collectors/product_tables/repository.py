"""Reads whether the control plane reaches its policy repository, and when it last did."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.items import amount_of, flag_of, member_of, past_of
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import Any

    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

STATUSES = ("connected", "disconnected", "error")
"""The product's values of connection_status; anything else is unknown."""

CONNECTED = Metric(
    "controlcore_policy_repo_connected",
    "Whether the product calls its policy repository connected; absent when none is configured.",
)
AUTO_SYNC = Metric("controlcore_policy_repo_auto_sync", "Whether the product synchronises the repository by itself.")
LAST_SYNC = Metric(
    "controlcore_policy_repo_last_sync_timestamp_seconds",
    "Time of the last synchronisation with the repository; absent before the first.",
    unit="seconds",
)
INTERVAL = Metric(
    "controlcore_policy_repo_sync_interval_seconds", "Configured time between synchronisations.", unit="seconds"
)

# github_configuration has one row in practice; if there are several, the one changed last counts. last_sync_time is UTC
# without a zone (utcnow()), sync_interval is in minutes; converted to seconds it may exceed an integer.
CONFIGURATION = """
SELECT lower(connection_status::text) AS connection_status, auto_sync, sync_interval * 60::float8 AS interval_seconds,
       extract(epoch FROM last_sync_time AT TIME ZONE 'UTC')::float8 AS last_sync,
       extract(epoch FROM now())::float8 AS now
  FROM github_configuration
 ORDER BY updated_at DESC NULLS LAST, last_sync_time DESC NULLS LAST
 LIMIT 1
"""


class RepositorySettings(CollectorSettings):
    """How often the configuration is read."""

    interval_seconds: float = Field(default=30.0, gt=0)
    """Seconds between two readings. Synchronisations are minutes apart; smaller only adds queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the query. Too small fails on a busy database."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=RepositorySettings,
    metrics=(CONNECTED, AUTO_SYNC, LAST_SYNC, INTERVAL),
    grants=(
        "GRANT SELECT (auto_sync, sync_interval, last_sync_time) ON github_configuration TO cc_exporter",
        "GRANT SELECT (connection_status, updated_at) ON github_configuration TO cc_exporter",
    ),
)
class RepositoryCollector:
    """Reads github_configuration without its token."""

    def __init__(self, settings: RepositorySettings, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: RepositorySettings, sources: Sources) -> AsyncIterator[RepositoryCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres)

    async def collect(self) -> Result:
        """Reads the configuration; raises BackendError when the database does not answer."""
        rows = await self._postgres.fetch(CONFIGURATION, timeout_seconds=self._settings.query_timeout_seconds)
        return Result(read_configuration(rows))


def read_configuration(rows: Sequence[Mapping[str, Any]]) -> tuple[Family, ...]:
    """The families of CONFIGURATION's row; none without a row or for a null column."""
    if not rows:
        return ()
    row = rows[0]
    status = member_of(row.get("connection_status"), STATUSES, "github_configuration.connection_status", "")
    return (
        CONNECTED.value(status == "connected" if status else None),
        AUTO_SYNC.value(flag_of(row.get("auto_sync"))),
        LAST_SYNC.value(past_of(row.get("last_sync"), row.get("now"))),
        INTERVAL.value(amount_of(row.get("interval_seconds"))),
    )
