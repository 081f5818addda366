"""PostgreSQL with deadlines that hold even when the server is frozen.

Two ways in: a PostgresSession keeps one connection for statistics, `probe` opens a new one and proves that new clients
can log in. A cancelled asyncpg query waits for the server to confirm the cancellation, and a frozen server never does;
so a connection whose call did not end well is terminated at once, without a word to the server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.log import get_logger
from chassis.net.sockets import socket_error
from chassis.postgres.address import PostgresAddress
from chassis.postgres.connection import NO_SUCH_STATEMENT, PostgresConnection, note_pooler, open_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

GOODBYE_SECONDS = 0.5
"""How long an orderly disconnect may take before the socket is simply dropped."""

MAX_AGE_SECONDS = 300.0
"""How long the kept connection is used; a connection costs the server one backend start."""

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
    "0A000": (PermanentError, Reason.MISSING),
    "40": (TransientError, Reason.CONFLICT),
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
        if "no more connections allowed" in message:  # PgBouncer, with the code of a protocol violation
            state = "53300"
        kind, reason = BY_STATE.get(state) or BY_STATE.get(state[:2]) or (PermanentError, Reason.INTERNAL)
        if state == "53300" and _is_of_account(error, message):
            reason = Reason.QUOTA
        return kind(reason, f"{message} (SQLSTATE {state})")
    if "rejected SSL upgrade" in message:  # asyncpg reports this with a bare ConnectionError
        return PermanentError(Reason.TLS, message)
    if type(error) is ConnectionError:
        return TransientError(Reason.CLOSED, message)
    if isinstance(error, OSError):
        return socket_error(error)
    return PermanentError(Reason.PROTOCOL, message)


def _is_of_account(error: asyncpg.PostgresError, message: str) -> bool:
    """Whether the limit of one role is used up, not that of the server or the database.

    PostgreSQL checks a role's CONNECTION LIMIT in this function of its own (miscinit.c); the message may be translated.
    The setting is PgBouncer's.
    """
    return error.server_source_function == "InitializeSessionUserId" or "max_user_client_connections" in message


class PostgresSession:
    """One kept read-only connection, used by one query at a time; opened at first use and again after a failure.

    It is exchanged for a new one when it is `max_age_seconds` old, and as soon as `probe` met another server under the
    same name: after a failover the old server may live on and answer for ever.
    """

    def __init__(self, address: PostgresAddress, *, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        self._address = address
        self._max_age_seconds = max_age_seconds
        self._lock = asyncio.Lock()
        self._kept: PostgresConnection | None = None
        self._is_closed = False
        self._opened_at = 0.0
        self._server: str | None = None
        self._met: str | None = None
        self.server_changes = 0
        """How often the kept connection was left because a new client met another server."""

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Sequence[asyncpg.Record]:
        """The rows of one query. `timeout_seconds` includes waiting for the connection and opening it.

        Raises BackendError; its `code` is the SQLSTATE when the query itself was refused, and empty when the connection
        could not be opened. The connection is kept only when the server answered, be it with an error of its own.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                rows: Sequence[asyncpg.Record] = await self._run(sql, arguments)
                return rows
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise translate(error) from error

    async def probe(self, address: PostgresAddress, timeout_seconds: float) -> float:
        """The same as the function `probe`; the session leaves a server that is not the one met here."""
        seconds, self._met = await _meet(address, timeout_seconds, asks_identity=True)
        return seconds

    async def close(self) -> None:
        """Ends the connection, politely when nothing is running on it; returns within half a second."""
        self._is_closed = True
        kept, self._kept = self._kept, None
        if kept is not None:
            await _part(kept.connection, is_polite=not self._lock.locked())

    async def _run(self, sql: str, arguments: tuple[object, ...]) -> Any:
        """Runs the query on the kept connection; the lock is held."""
        kept = await self._ready()
        try:
            return await kept.fetch(sql, arguments)
        except BaseException as error:
            if isinstance(error, asyncpg.PostgresError) and error.sqlstate == NO_SUCH_STATEMENT:
                note_pooler(self._address)
                self._drop(kept)
            elif not isinstance(error, asyncpg.PostgresError) or kept.connection.is_closed():
                self._drop(kept)
            if not isinstance(error, asyncpg.PostgresError):
                raise
            refusal = translate(error)
            refusal.code = error.sqlstate or ""
            raise refusal from error

    def _drop(self, kept: PostgresConnection) -> None:
        """Leaves a connection without a word."""
        kept.connection.terminate()
        self._kept = None

    async def _ready(self) -> PostgresConnection:
        """The kept connection, or a new one when there is none that works, is young and leads to the right server."""
        kept, loop = self._kept, asyncio.get_running_loop()
        is_moved = self._is_moved()
        if not self._is_closed:
            if kept is None or kept.connection.is_closed():
                kept = await self._open()
            elif is_moved or loop.time() - self._opened_at >= self._max_age_seconds:
                kept = await self._exchange(kept, is_moved=is_moved)
        if self._is_closed:
            if kept is not None:
                kept.connection.terminate()
            raise TransientError(Reason.CLOSED, "the session is closed")
        self._kept = kept
        return kept  # type: ignore[return-value] # only a closed session has none

    def _is_moved(self) -> bool:
        """Whether a new client last met another server than the kept connection leads to."""
        return self._met is not None and self._server is not None and self._met != self._server

    async def _open(self) -> PostgresConnection:
        """A new connection, and which server it leads to."""
        kept = await open_connection(self._address)
        try:
            self._server = await kept.identity()
        except BaseException:
            kept.connection.terminate()
            raise
        self._met = None
        self._opened_at = asyncio.get_running_loop().time()
        return kept

    async def _exchange(self, old: PostgresConnection, *, is_moved: bool) -> PostgresConnection:
        """A new connection in the place of an old one, which is left whatever happens.

        Only a server without a free place leaves the old connection in use: with it, sessions can still be ended.
        """
        if is_moved:
            self.server_changes += 1
            get_logger().warning("database.server_changed", hint="the kept connection led to another server")
        try:
            new = await self._open()
        except asyncpg.PostgresError as error:
            if not is_moved and translate(error).reason in {Reason.EXHAUSTED, Reason.QUOTA}:
                return old
            self._drop(old)
            raise
        except BaseException:
            self._drop(old)
            raise
        await _part(old.connection, is_polite=True)
        return new


async def probe(address: PostgresAddress, timeout_seconds: float) -> float:
    """Connects afresh, authenticates, runs SELECT 1 and disconnects; returns the seconds until the answer.

    Raises BackendError; never waits longer than `timeout_seconds` for an answer and half a second for the goodbye.
    """
    return (await _meet(address, timeout_seconds, asks_identity=False))[0]


async def _meet(address: PostgresAddress, timeout_seconds: float, *, asks_identity: bool) -> tuple[float, str | None]:
    """Seconds until the answer, and the server that gave it; None if that is not needed or not known in time."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(timeout_seconds):
            opened = await open_connection(address)
            try:
                await opened.ping()
            except BaseException:
                opened.connection.terminate()
                raise
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise translate(error) from error
    seconds, server = loop.time() - started, None
    try:
        if asks_identity:
            async with asyncio.timeout(GOODBYE_SECONDS):
                server = await opened.identity()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass  # the verdict is known already, and does not depend on this
    except BaseException:
        opened.connection.terminate()
        raise
    await _part(opened.connection, is_polite=True)
    return seconds, server


async def _part(connection: Any, *, is_polite: bool) -> None:
    """Disconnects: with a goodbye that the server may answer, or by dropping the socket."""
    try:
        if is_polite:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass  # the answer is already known; the result of closing does not matter
    finally:
        connection.terminate()
