"""Reads PostgreSQL's maintenance state: locks, replicas, archiving, dead rows, and which applications hold connections.

A managed service may forbid any of these views; its values are then absent, and `view_denied` names the view.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.postgres.views import (
    DENIED,
    VIEW_METRICS,
    VIEWS,
    View,
    ViewQuery,
    ask,
    is_final,
    read_applications,
)
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

DENIALS = frozenset({"42501", "42P01", "42883", "0A000"})
"""SQLSTATEs that refuse one view: no privilege, no such view, no such function, not supported by this service."""


class PostgresMaintenanceSettings(CollectorSettings):
    """How often the views are read."""

    interval_seconds: float = Field(default=30.0, gt=0)
    """Seconds between two readings. These figures move slowly; smaller keeps the connection busy."""
    timeout_seconds: float = Field(default=15.0, gt=0)
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a loaded server, too large keeps the shared connection busy."""
    applications: tuple[str, ...] = Field(default=("controlcore-exporter", "controlcore-remediator"), max_length=20)
    """Values of application_name with their own series. The control plane sets none; its connections are recognised by
    `database.role` and named control_plane. Every other connection is `other`."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PostgresMaintenanceSettings,
    metrics=(*VIEW_METRICS, DENIED),
    grants=("GRANT pg_monitor TO cc_exporter",),
)
class PostgresMaintenanceCollector:
    """Queries each view in turn; a forbidden or missing view is published as such and is not a failure.

    Any other error is the collection's failure and says nothing about a view.
    """

    def __init__(self, settings: PostgresMaintenanceSettings, postgres: PostgresSession, role: str) -> None:
        self._settings = settings
        self._postgres = postgres
        self._role = role

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: PostgresMaintenanceSettings, sources: Sources
    ) -> AsyncIterator[PostgresMaintenanceCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres, sources.settings.database.role)

    async def collect(self) -> Result:
        """Queries each view; after a failure of the connection the others are skipped. Raises when nothing is known."""
        families: list[Family] = []
        denied: dict[tuple[str, ...], float] = {}
        failure: BackendError | None = None
        for view in VIEWS:
            try:
                families += await self._ask(view)
                denied[view.name,] = 0
            except BackendError as error:
                if error.code in DENIALS:
                    denied[view.name,] = 1
                    continue
                failure = failure or error
                if is_final(error):
                    break
        if failure is not None and not denied:
            raise failure
        return Result((*families, DENIED.family(denied)), failure=failure)

    async def _ask(self, view: View) -> list[Family]:
        """The families of one view."""
        arguments: tuple[object, ...] = ()
        if view.read is read_applications:
            arguments = (list(self._settings.applications), self._role)
        question = ViewQuery(view.sql, view.read, arguments)
        return await ask(self._postgres, question, self._settings.query_timeout_seconds)
