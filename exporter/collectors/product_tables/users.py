"""Counts the people who are signed in now."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.items import amount_of
from exporter.metrics import Metric, Stability
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.postgres.session import PostgresSession
    from exporter.sources.sources import Sources

SESSIONS = Metric("controlcore_user_sessions_active", "Sessions that are neither revoked nor expired.")
USERS = Metric("controlcore_users_active", "Distinct users with a session that is neither revoked nor expired.")
GUIDE_USERS = Metric(
    "active_users_total", "Users with an active session (name of the DevOps guide).", stability=Stability.GUIDE
)

# user_sessions.expires_at is UTC without a time zone (the product writes utcnow()), so it is compared with UTC and not
# with localtimestamp. users.active_sessions is not used: nothing lowers it when a session expires. PostgreSQL 9.4+.
ACTIVE = """
SELECT count(*) AS sessions, count(DISTINCT user_id) AS users
  FROM user_sessions
 WHERE NOT revoked AND expires_at > (now() AT TIME ZONE 'UTC')
"""


class UsersSettings(CollectorSettings):
    """How often the sessions are counted."""

    interval_seconds: float = 15.0
    """Seconds between two counts. Smaller only adds queries, much larger flattens the panel."""
    query_timeout_seconds: float = 3.0
    """Deadline of the query. Too small fails on a busy database, larger than timeout_seconds never takes effect."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=UsersSettings,
    metrics=(SESSIONS, USERS, GUIDE_USERS),
    grants=("GRANT SELECT (user_id, expires_at, revoked) ON user_sessions TO cc_exporter",),
)
class UsersCollector:
    """Reads user_sessions, the only table with the users who are signed in."""

    def __init__(self, settings: UsersSettings, postgres: PostgresSession) -> None:
        self._settings = settings
        self._postgres = postgres

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: UsersSettings, sources: Sources) -> AsyncIterator[UsersCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres)

    async def collect(self) -> Result:
        """Counts active sessions and their users; raises BackendError when the database does not answer."""
        rows = await self._postgres.fetch(ACTIVE, timeout_seconds=self._settings.query_timeout_seconds)
        sessions, users = (amount_of(rows[0].get(name)) for name in ("sessions", "users"))
        return Result((SESSIONS.value(sessions), USERS.value(users), GUIDE_USERS.value(users)))
