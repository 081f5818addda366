"""Opens connections to PostgreSQL, directly or through a pooler, and runs one query safely on them.

On a direct connection, the startup message carries the settings that keep a session harmless. A pooler such as
PgBouncer refuses unknown startup parameters, and a SET would persist on a server connection that the product gets next.
So through a pooler, each query runs in a read-only transaction whose settings end with it, in session mode and in
transaction mode.

libpq's environment variables and the files below ~/.postgresql are never read: every argument that asyncpg would look
up there is passed explicitly.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from chassis.errors import PermanentError, Reason
from chassis.postgres.address import PostgresAddress, PostgresTarget, SslMode, trust_of

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUSED_STARTUP = frozenset({"08P01", "0A000", "42704", "22023", "55P02"})
"""SQLSTATEs of poolers and proxies that refuse a startup parameter: protocol violation, not supported, unknown, not
allowed.
"""
NO_SUCH_STATEMENT = "26000"
"""A pooler in transaction mode lost a prepared statement between two messages."""
NO_ENTRY = "28000"
"""No line of pg_hba.conf matches; one may match with TLS, or without."""
IDENTITY_SQL = "SELECT pg_postmaster_start_time()::text || ' ' || coalesce(inet_server_port(), 0)::text"
"""Identifies a running server; every role may query it. In microseconds, so that no two servers are equal; a promoted
standby keeps its value.
"""

_pooled: set[tuple[str, int, str]] = set()
"""Host, port and database where a pooler was found. What works through a pooler also works without one."""
_plain: set[tuple[str, int]] = set()
"""Servers that last had no TLS although it was preferred; there TLS is the second attempt."""


@dataclass(frozen=True, slots=True)
class PostgresConnection:
    """One open connection."""

    connection: Any
    begin: str | None
    """The statement that begins a query's transaction; None if the session itself has the settings."""

    async def fetch(self, sql: str, arguments: Sequence[object] = ()) -> Any:
        """The rows of one query."""
        if self.begin is None:
            return await self.connection.fetch(sql, *arguments)
        await self.connection.execute(self.begin)
        try:
            rows = await self.connection.fetch(sql, *arguments)
        except asyncpg.PostgresError:
            if not self.connection.is_closed():
                await self.connection.execute("ROLLBACK")
            raise
        await self.connection.execute("COMMIT")
        return rows

    async def ping(self) -> None:
        """Makes the server answer, in one message, so that a pooler cannot switch servers in between."""
        await self.connection.execute("SELECT 1")

    async def identity(self) -> str | None:
        """The identity of the running server; None if it gives none."""
        try:
            return str((await self.fetch(IDENTITY_SQL))[0][0])
        except asyncpg.PostgresError:
            return None


async def open_connection(address: PostgresAddress) -> PostgresConnection:
    """Connects and logs in; the caller sets the deadline. Raises what asyncpg raises, or PermanentError for files."""
    target = address.target()
    place = (target.host, target.port, target.database)
    settings = _settings(address, target)
    if place not in _pooled:
        try:
            connection = await _connect(address, target, settings)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in REFUSED_STARTUP:
                raise
        else:
            if not _are_in_force(connection):
                note_pooler(address)
            return PostgresConnection(connection, None if _are_in_force(connection) else _begin(settings))
    name = {"application_name": address.application_name}
    connection = await _connect(address, target, name)
    _pooled.add(place)
    return PostgresConnection(connection, _begin(settings))


def note_pooler(address: PostgresAddress) -> None:
    """Treats connections to this database as a pooler's from now on."""
    target = address.target()
    _pooled.add((target.host, target.port, target.database))


def _are_in_force(connection: Any) -> bool:
    """Whether the startup settings are in force: a pooler may drop them. PostgreSQL 14 and later report this one."""
    reported: object = getattr(connection.get_settings(), "default_transaction_read_only", None)
    return reported == "on"


async def _connect(address: PostgresAddress, target: PostgresTarget, settings: dict[str, str]) -> Any:
    """Connects with TLS, without, or tries both in turn, as sslmode says."""
    password = await asyncio.to_thread(address.read_password, target)
    first, *second = _attempts(target)
    try:
        return await _connect_once(target, password, settings, is_tls=first)
    except (asyncpg.PostgresError, OSError) as error:
        if not second or not _may_differ(error):
            raise
        try:
            connection = await _connect_once(target, password, settings, is_tls=second[0])
        except OSError:
            if isinstance(error, asyncpg.PostgresError):
                raise error from None  # keep the server's reason; the second failure explains less
            raise
    (_plain.discard if second[0] else _plain.add)((target.host, target.port))
    return connection


def _attempts(target: PostgresTarget) -> tuple[bool, ...]:
    """Whether to use TLS in the first attempt, and in the second if there is one."""
    if target.host.startswith("/") or target.ssl_mode is SslMode.DISABLE:
        return (False,)
    if target.ssl_mode.is_required:
        return (True,)
    if target.ssl_mode is SslMode.ALLOW or (target.host, target.port) in _plain:
        return (False, True)
    return (True, False)


def _may_differ(error: Exception) -> bool:
    """Whether the same server may answer differently with TLS, or without it."""
    if isinstance(error, asyncpg.PostgresError):
        return bool(error.sqlstate == NO_ENTRY)
    is_refusal = "rejected SSL upgrade" in str(error)  # asyncpg reports this with a bare ConnectionError
    return is_refusal or isinstance(error, ssl.SSLError | ConnectionResetError)


async def _connect_once(target: PostgresTarget, password: str, settings: dict[str, str], *, is_tls: bool) -> Any:
    """One attempt. Passes everything that asyncpg would otherwise read from environment and home."""
    tls: ssl.SSLContext | bool = False
    if is_tls:
        try:
            tls = await trust_of(target).context()
        except (OSError, ValueError) as error:
            raise PermanentError(Reason.TLS, f"cannot load the certificates: {error}") from error
    return await asyncpg.connect(
        host=target.host, port=target.port, user=target.user, database=target.database, password=password, ssl=tls,
        direct_tls=target.is_tls_direct and is_tls, target_session_attrs=target.session_attributes,
        krbsrvname="postgres", gsslib="gssapi", server_settings=settings, statement_cache_size=0,
        timeout=target.connect_seconds or 60,
    )  # fmt: skip


def _settings(address: PostgresAddress, target: PostgresTarget) -> dict[str, str]:
    """The run-time parameters of the session (PostgreSQL documentation, 20.11 Client Connection Defaults)."""
    settings = dict(target.options) | {
        "application_name": address.application_name,
        "default_transaction_read_only": "on",
        "statement_timeout": _milliseconds(address.statement_timeout_seconds),
        "lock_timeout": _milliseconds(address.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(address.statement_timeout_seconds),
    }
    if address.session_role is not None:
        settings["role"] = address.session_role
    return settings


def _begin(settings: dict[str, str]) -> str:
    """Begins a read-only transaction with the settings; one message, so that nothing runs in between."""
    without = {"application_name", "default_transaction_read_only"}
    calls = [f"set_config({_quoted(n)}, {_quoted(v)}, true)" for n, v in settings.items() if n not in without]
    return f"BEGIN READ ONLY; SELECT {', '.join(calls)}"


def _quoted(text: str) -> str:
    """A string constant, whatever standard_conforming_strings is."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _milliseconds(seconds: float) -> str:
    """Seconds as the unit of PostgreSQL's timeouts; at least 1, because 0 switches a timeout off."""
    return str(max(1, round(seconds * 1000)))
