"""A real PostgreSQL and Redis with the product's tables, and the exporter's role with its collectors' grants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from exporter.collectors import discover
from exporter.commands import grants
from tools.servers.postgres import PostgresServer
from tools.servers.redis import RedisServer
from tools.standin import database

DATABASE = "control_core_db"
EXPORTER_ROLE = grants.ROLE
EXPORTER_PASSWORD = "loopback-exporter"  # noqa: S105 - a made-up credential of a throw-away server
MAX_CONNECTIONS = 300
"""Enough for the twelve replicas that the API may be scaled to, at 15 connections each, and a fifth to spare."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The two running servers."""

    postgres: PostgresServer
    redis: RedisServer

    @property
    def database_url(self) -> str:
        """The product's database as its superuser."""
        return self.postgres.dsn(database=DATABASE)

    @property
    def exporter_url(self) -> str:
        """The product's database as the exporter's role."""
        return self.postgres.dsn(EXPORTER_ROLE, DATABASE, EXPORTER_PASSWORD)


def exporter_grants() -> list[str]:
    """The statements that make the exporter's role, from the collectors' own registrations."""
    return [
        f"CREATE ROLE {EXPORTER_ROLE} LOGIN PASSWORD '{EXPORTER_PASSWORD}'",
        *grants.statements(discover()),
    ]


@contextmanager
def opened_stores(settings: Mapping[str, str] | None = None) -> Iterator[Stores]:
    """Starts both, installs the tables and the role; ends both. `settings` are further lines of postgresql.conf."""
    with PostgresServer(MAX_CONNECTIONS, settings) as postgres, RedisServer() as redis:
        stores = Stores(postgres, redis)
        postgres.create_database(DATABASE)
        database.install_schema(stores.database_url)
        with psycopg.connect(stores.database_url, autocommit=True) as admin:
            for statement in exporter_grants():
                admin.execute(statement.encode())
        yield stores
