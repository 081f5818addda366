"""Blocking database calls of the stand-in, made the way the product makes them: no deadline, no pre-ping."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

POOL_SIZE = 5
SQL = Path(__file__).parent / "sql"
TABLES = ("schema.sql", "written.sql")
"""The product's tables, and what its code writes into them where a caller gives no value."""

Row = tuple[object, ...]
Parameters = Sequence[object]


def driverless(database_url: str) -> str:
    """Return the URL without the `+driver` that SQLAlchemy puts into the scheme."""
    return re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", database_url)


def install_schema(database_url: str, *, seed: bool = True) -> None:
    """Create the control plane's tables in an empty database, and the made-up rows unless `seed` is false."""
    with psycopg.connect(driverless(database_url)) as connection:
        for name in (*TABLES, *(("seed.sql",) if seed else ())):
            connection.execute((SQL / name).read_bytes())


def make_rows_like_the_product(database_url: str) -> None:
    """Turn the made-up rows into what the 2025-10 product leaves of a healthy installation."""
    with psycopg.connect(driverless(database_url)) as connection:
        connection.execute((SQL / "product.sql").read_bytes())


def drop_tables(database_url: str) -> None:
    """Drop every table with its rows and create them empty, as the product does at start with CC_DROP_TABLES=true."""
    with psycopg.connect(driverless(database_url)) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(77)")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for name in TABLES:
            connection.execute((SQL / name).read_bytes())


def has_schema(database_url: str) -> bool:
    """Whether the database holds the control plane's tables already."""
    with psycopg.connect(driverless(database_url)) as connection:
        row = connection.execute("SELECT to_regclass('public.audit_logs') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


class BlockingPool:
    """Holds a few open connections and lends them in turn; every call blocks its thread for as long as it takes.

    Like the product's pool it opens all of them at start, never tests one before lending it, and drops one only after
    a statement has failed on it.
    """

    def __init__(self, database_url: str, size: int = POOL_SIZE, application_name: str = "control-plane-api") -> None:
        """Open the connections; raises `psycopg.OperationalError` when the server refuses."""
        self._url = driverless(database_url)
        self._application_name = application_name
        self._size = size
        self._idle = [self._connect() for _ in range(size)]

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url, autocommit=True, application_name=self._application_name)

    @contextmanager
    def _lend(self) -> Iterator[psycopg.Connection]:
        connection = self._idle.pop(0) if self._idle else self._connect()
        try:
            yield connection
        finally:
            if connection.closed or connection.broken or len(self._idle) >= self._size:
                connection.close()
            else:
                self._idle.append(connection)

    def fetch(self, query: str, parameters: Parameters = ()) -> list[Row]:
        """Return the rows of one statement, in a separate transaction."""
        with self._lend() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def fetch_named(self, query: str, parameters: Parameters = ()) -> list[dict[str, object]]:
        """Return the rows of one statement by column."""
        with self._lend() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()

    def execute(self, query: str, parameters: Parameters = ()) -> None:
        """Run one statement that returns no rows, in a separate transaction."""
        with self._lend() as connection:
            connection.execute(query.encode(), parameters)

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()
