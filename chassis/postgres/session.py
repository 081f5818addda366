"""PostgreSQL with deadlines that hold even when the server is frozen.

A PostgresSession keeps one connection for statistics; `probe` opens a new one to test that new clients can log in. A
cancelled asyncpg query waits for the server's confirmation, which a frozen server never sends. So a connection is
dropped at once, without a message to the server, when its call did not end well.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.net.kept import MAX_AGE_SECONDS, KeptConnection
from chassis.net.sockets import socket_error
from chassis.postgres.address import PostgresAddress
from chassis.postgres.connection import NO_SUCH_STATEMENT, PostgresConnection, note_pooler, open_connection

if TYPE_CHECKING:
    from collections.abc import Sequence

GOODBYE_SECONDS = 0.5
"""How long an orderly disconnect may take before the socket is dropped."""

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
"""The reason for each SQLSTATE or two-character class (PostgreSQL documentation, appendix A); a full code wins."""


def translate(error: BaseException) -> BackendError:
    """The BackendError for a failure of asyncpg or its socket."""
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
    """Whether one role's limit is used up, not the server's or the database's.

    PostgreSQL checks a role's CONNECTION LIMIT in this separate function (miscinit.c); the message may be translated.
    The setting is PgBouncer's.
    """
    return error.server_source_function == "InitializeSessionUserId" or "max_user_client_connections" in message


class PostgresSession(KeptConnection[PostgresConnection]):
    """One kept read-only connection, used by one query at a time."""

    def __init__(self, address: PostgresAddress, *, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        super().__init__("database.server_changed", max_age_seconds)
        self._address = address

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Sequence[asyncpg.Record]:
        """The rows of one query. `timeout_seconds` includes waiting for the connection and opening it.

        Raises BackendError; its `code` is the SQLSTATE when the query itself was refused, and empty when the connection
        could not be opened. The connection is kept only if the server answered, even with an error.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                rows: Sequence[asyncpg.Record] = await self._run(sql, arguments)
                return rows
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise translate(error) from error

    async def probe(self, address: PostgresAddress, timeout_seconds: float) -> float:
        """The same as the function `probe`; the session leaves its server if this one is another."""
        seconds, self._met = await _meet(address, timeout_seconds, asks_identity=True)
        return seconds

    async def _run(self, sql: str, arguments: tuple[object, ...]) -> Any:
        """Runs the query on the kept connection; the lock is held."""
        kept = await self._ready()
        try:
            return await kept.fetch(sql, arguments)
        except BaseException as error:
            if isinstance(error, asyncpg.PostgresError) and error.sqlstate == NO_SUCH_STATEMENT:
                note_pooler(self._address)
                await self._drop(kept)
            elif not isinstance(error, asyncpg.PostgresError) or kept.connection.is_closed():
                await self._drop(kept)
            if not isinstance(error, asyncpg.PostgresError):
                raise
            refusal = translate(error)
            refusal.code = error.sqlstate or ""
            raise refusal from error

    async def _connect(self) -> PostgresConnection:
        return await open_connection(self._address)

    async def _identify(self, connection: PostgresConnection) -> str | None:
        return await connection.identity()

    async def _is_usable(self, connection: PostgresConnection) -> bool:
        return not connection.connection.is_closed()

    def _has_no_place(self, error: Exception) -> bool:
        is_refused = isinstance(error, asyncpg.PostgresError)
        return is_refused and translate(error).reason in {Reason.EXHAUSTED, Reason.QUOTA}

    async def _part(self, connection: PostgresConnection, *, is_polite: bool) -> None:
        await _part(connection.connection, is_polite=is_polite)


async def probe(address: PostgresAddress, timeout_seconds: float) -> float:
    """Connects afresh, authenticates, runs SELECT 1 and disconnects; returns the seconds until the answer.

    Raises BackendError; waits at most `timeout_seconds` for an answer and half a second for the disconnect.
    """
    return (await _meet(address, timeout_seconds, asks_identity=False))[0]


async def _meet(address: PostgresAddress, timeout_seconds: float, *, asks_identity: bool) -> tuple[float, str | None]:
    """Seconds until the answer, and the server's identity; None if it is not needed or not known in time."""
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
        pass  # the result is known already and does not depend on this
    except BaseException:
        opened.connection.terminate()
        raise
    await _part(opened.connection, is_polite=True)
    return seconds, server


async def _part(connection: Any, *, is_polite: bool) -> None:
    """Disconnects: with an orderly message, or by dropping the socket."""
    try:
        if is_polite:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pass  # the answer is already known; the result of closing does not matter
    finally:
        connection.terminate()
