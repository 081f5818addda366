"""Faults of the real PostgreSQL and Redis, each for as long as its `with` block lasts."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg import errors, sql

from tools.standin.database import driverless

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_NAME = "connection-hoarder"


class Server(Protocol):
    """A database server that the caller started and may damage."""

    def freeze(self) -> object:
        """Stop every process of the server where it is: connections stay open and nothing answers."""
        ...

    def thaw(self) -> object:
        """Let every process continue."""
        ...

    def stop(self) -> object:
        """Shut the server down: its port refuses."""
        ...

    def start(self) -> object:
        """Start the server again on the same port with the same data."""
        ...


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Freeze the server."""
    try:
        server.freeze()
        yield
    finally:
        server.thaw()


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Take the server down."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def login_forbidden(admin_url: str, role: str) -> Iterator[None]:
    """Refuse new connections of the role (SQLSTATE 28000); existing ones stay. The admin must be another role."""
    with psycopg.connect(driverless(admin_url), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
    try:
        yield
    finally:
        with psycopg.connect(driverless(admin_url), autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)))


@contextmanager
def connections_used_up(database_url: str) -> Iterator[int]:
    """Open idle connections until the server has none left for ordinary roles (SQLSTATE 53300); yields how many."""
    with ExitStack() as hoard:
        count = 0
        while True:
            try:
                connection = psycopg.connect(driverless(database_url), application_name=APPLICATION_NAME)
            except errors.OperationalError as error:
                if not is_exhausted(error):
                    raise
                break
            hoard.callback(connection.close)
            count += 1
        yield count


def is_exhausted(error: psycopg.Error) -> bool:
    """Whether the server refused a connection because it has none left.

    A refused connection carries no SQLSTATE in psycopg, so its words decide.
    """
    return "too many clients" in str(error) or "remaining connection slots are reserved" in str(error)
