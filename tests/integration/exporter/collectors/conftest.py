"""The product in a real PostgreSQL, read by a role with exactly the grants that the collectors declare."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collectors import discover
from exporter.commands import grants
from tests.fakes.short_rows import allow_short_rows
from tools.servers.postgres import PASSWORD
from tools.standin.database import install_schema
from tools.standin.running import Options, StandIn, running_standin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tools.servers.postgres import PostgresServer

ROLE = grants.ROLE
GRANTS = grants.statements(discover())


@dataclass(frozen=True, slots=True)
class Product:
    """The product's database."""

    server: PostgresServer
    name: str
    url: str
    """Its address for the superuser."""

    def address(self, role: str = ROLE, password: str = PASSWORD) -> PostgresAddress:
        return PostgresAddress.parse(self.server.dsn(role, self.name, password))

    def run(self, sql: str) -> list[list[str]]:
        return self.server.run_sql(sql, self.name)

    def grant(self) -> None:
        """Gives the role what the collectors declare, and nothing else; the tables may be new ones."""
        allow_short_rows(self.url)
        self.run(";\n".join(GRANTS).replace("control_core_db", f'"{self.name}"'))

    @asynccontextmanager
    async def session(self, role: str = ROLE) -> AsyncIterator[PostgresSession]:
        session = PostgresSession(self.address(role))
        try:
            yield session
        finally:
            await session.close()


@pytest.fixture
def product(postgres_server: PostgresServer, database: str) -> Product:
    """The product's tables with the stand-in's rows."""
    found = Product(postgres_server, urlsplit(database).path.removeprefix("/"), database)
    install_schema(database)
    for role in (ROLE, "plain"):
        found.run(
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}';"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
    found.grant()
    return found


@pytest.fixture
def standin(product: Product, redis_url: str) -> Iterator[StandIn]:
    """The product's programs, without their own users."""
    with running_standin(product.url, redis_url, Options(traffic_interval_seconds=0)) as running:
        yield running
