"""PostgreSQL with deadlines that hold even when the server is frozen.

Two ways in: a PostgresSession keeps one connection for statistics, `probe` opens a fresh one and proves that somebody
new could log in. A cancelled asyncpg query waits for the server to confirm the cancellation, and a frozen server never
does; so a connection whose call did not end well is terminated at once, without a word to the server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.postgres_address import PostgresAddress, SslMode, Target, tls_context
from chassis.sockets import socket_error

if TYPE_CHECKING:
    from collections.abc import Sequence

GOODBYE_SECONDS = 0.5
"""How long an orderly disconnect may take before the socket is simply dropped."""

BY_STATE: dict[str, tuple[type[BackendError], Reason]] = {
    "28": (PermanentError, Reason.AUTH),
    "42501": (PermanentError, Reason.PERMISSION),
    "25006": (PermanentError, Reason.PERMISSION),
    "3D000": (PermanentError, Reason.MISSING),
    "3F000": (PermanentError, Reason.MISSING),
    "42P01": (PermanentError, Reason.MISSING),
    "42703": (PermanentError, Reason.MISSING),
    "42883": (PermanentError, Reason.MISSING),
    "42804": (PermanentError, Reason.MALFORMED),
    "22": (PermanentError, Reason.MALFORMED),
    "53": (TransientError, Reason.EXHAUSTED),
    "57014": (TransientError, Reason.TIMEOUT),
    "55P03": (TransientError, Reason.TIMEOUT),
    "57P03": (TransientError, Reason.STARTING),
    "57P04": (PermanentError, Reason.MISSING),
    "57": (TransientError, Reason.CLOSED),
    "25P03": (TransientError, Reason.CLOSED),
    "08P01": (PermanentError, Reason.PROTOCOL),
    "08": (TransientError, Reason.CLOSED),
}
"""SQLSTATE, or its class of two characters, to its meaning (PostgreSQL documentation, appendix A); a full code wins."""


def translate(error: BaseException) -> BackendError:
    """The BackendError that a failure of asyncpg or of its socket means."""
    message = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return TransientError(Reason.TIMEOUT, "the deadline passed")
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        kind, reason = BY_STATE.get(state) or BY_STATE.get(state[:2]) or (PermanentError, Reason.INTERNAL)
        return kind(reason, f"{message} (SQLSTATE {state})")
    if "rejected SSL upgrade" in message:  # asyncpg says so with a bare ConnectionError
        return PermanentError(Reason.TLS, message)
    if type(error) is ConnectionError:
        return TransientError(Reason.CLOSED, message)
    if isinstance(error, OSError):
        return socket_error(error)
    return PermanentError(Reason.PROTOCOL, message)


class PostgresSession:
    """One kept read-only connection, used by one query at a time; opened at first use and again after a failure."""

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._is_closed = False

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Sequence[asyncpg.Record]:
        """The rows of one query. `timeout_seconds` includes waiting for the connection and opening it.

        Raises BackendError. The connection is kept only when the server answered, be it with an error of its own.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                rows: Sequence[asyncpg.Record] = await self._run(sql, arguments)
                return rows
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Ends the connection, politely when nothing is running on it; returns within half a second."""
        self._is_closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await _part(connection, is_polite=not self._lock.locked())

    async def _run(self, sql: str, arguments: tuple[object, ...]) -> Any:
        """Runs the query on the kept connection; the lock is held."""
        connection = await self._ready()
        try:
            return await connection.fetch(sql, *arguments)
        except BaseException as error:
            if not isinstance(error, asyncpg.PostgresError) or connection.is_closed():
                connection.terminate()
                self._connection = None
            raise

    async def _ready(self) -> Any:
        """The kept connection, or a new one when there is none that works."""
        connection = self._connection
        if not self._is_closed and (connection is None or connection.is_closed()):
            connection = await _connect(self._address)
        if self._is_closed:
            if connection is not None:
                connection.terminate()
            raise TransientError(Reason.CLOSED, "the session is closed")
        self._connection = connection
        return connection


async def probe(address: PostgresAddress, timeout_seconds: float) -> float:
    """Connects afresh, authenticates, runs SELECT 1 and disconnects; returns the seconds until the answer.

    Raises BackendError; never waits longer than `timeout_seconds` for an answer and half a second for the goodbye.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(timeout_seconds):
            connection = await _connect(address)
            try:
                await connection.fetchval("SELECT 1")
            except BaseException:
                connection.terminate()
                raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise translate(error) from error
    seconds = loop.time() - started
    await _part(connection, is_polite=True)
    return seconds


async def _connect(address: PostgresAddress) -> Any:
    """A connection with the session settings that keep it harmless; the caller sets the deadline."""
    target = address.target()
    password = await asyncio.to_thread(address.read_password, target)
    tls: Any = "prefer"
    if target.ssl_mode is SslMode.DISABLE:
        tls = False
    elif target.ssl_mode.is_required:
        tls = await asyncio.to_thread(tls_context, target)
    return await asyncpg.connect(
        host=target.host, port=target.port, user=target.user, database=target.database, password=password, ssl=tls,
        server_settings=_server_settings(address, target), statement_cache_size=0, target_session_attrs="any",
    )  # fmt: skip


def _server_settings(address: PostgresAddress, target: Target) -> dict[str, str]:
    """The run-time parameters of the session (PostgreSQL documentation, 20.11 Client Connection Defaults)."""
    del target
    settings = {
        "application_name": address.application_name,
        "default_transaction_read_only": "on",
        "statement_timeout": _milliseconds(address.statement_timeout_seconds),
        "lock_timeout": _milliseconds(address.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(address.statement_timeout_seconds),
    }
    if address.session_role is not None:
        settings["role"] = address.session_role
    return settings


def _milliseconds(seconds: float) -> str:
    """Seconds as the unit of PostgreSQL's timeouts; at least 1, because 0 switches a timeout off."""
    return str(max(1, round(seconds * 1000)))


async def _part(connection: Any, *, is_polite: bool) -> None:
    """Disconnects: with a goodbye that the server may answer, or by dropping the socket."""
    try:
        if is_polite:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass  # the answer is already known; how the goodbye went is nobody's business
    finally:
        connection.terminate()
