"""What steps other than patches are sent with: keys bound to origins, and a database connection that is kept open.

The connection is opened at the start and looked at every few seconds: when all connections are used up no new one is to
be had, and that is when sessions have to be ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from chassis.clock import Clock
from chassis.errors import BackendError
from chassis.http.client import HttpClient
from chassis.log import get_logger
from remediations.execution.executor import Tools
from remediations.execution.senders import Key, origin_of
from remediations.facts.prometheus import PrometheusClient
from remediations.facts.sources import Session
from remediations.settings import DatabaseSettings, RemediatorSettings

if TYPE_CHECKING:
    from chassis.postgres.session import PostgresSession

KEEP_SECONDS = 10.0
"""How often the kept connection is used, so that a broken one is replaced while connections are still to be had."""
APPLICATION = "controlcore-remediator"


def read_keys(settings: RemediatorSettings) -> Mapping[str, Key]:
    """Origin → the key that may go there."""
    return {origin_of(item.origin): Key(item.key_file, item.header) for item in settings.http_keys}


@asynccontextmanager
async def opened_session(settings: DatabaseSettings | None) -> AsyncIterator[PostgresSession | None]:
    """The kept session, or None where no database is configured; asyncpg is imported only then."""
    if settings is None:
        yield None
        return
    from dataclasses import replace  # noqa: PLC0415 - together with what it is for

    from chassis.postgres.address import PostgresAddress  # noqa: PLC0415 - same
    from chassis.postgres.session import PostgresSession  # noqa: PLC0415 - 15 MiB that most installations do without

    address = PostgresAddress.parse(settings.url, password_file=settings.password_file)
    session = PostgresSession(
        replace(address, application_name=APPLICATION), max_age_seconds=settings.max_connection_seconds
    )
    try:
        yield session
    finally:
        await session.close()


async def keep_open(session: Session, clock: Clock, timeout_seconds: float) -> None:
    """Uses the session now and every KEEP_SECONDS, until cancelled; says when that begins and ceases to fail."""
    is_failing = False
    while True:
        try:
            await session.fetch("SELECT 1", timeout_seconds=timeout_seconds)
        except BackendError as error:
            if not is_failing:
                get_logger().warning("database.lost", reason=error.reason.value, problem=str(error))
            is_failing = True
        else:
            if is_failing:
                get_logger().info("database.found")
            is_failing = False
        await clock.sleep(KEEP_SECONDS)


def make_tools(
    settings: RemediatorSettings, http: HttpClient, prometheus: PrometheusClient, session: Session | None
) -> Tools:
    """Everything that plans are carried out with beside the Kubernetes API."""
    return Tools(http, read_keys(settings), session, prometheus.ask)
