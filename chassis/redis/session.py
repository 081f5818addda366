"""Redis with deadlines that hold even when the server is frozen.

Uses single connections of redis-py without retries: a pool or a retry policy would hide a server that did not answer. A
connection whose call did not end well is dropped, so that no caller reads another's reply.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import redis.exceptions as driver
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.net.kept import MAX_AGE_SECONDS, KeptConnection
from chassis.net.sockets import socket_error
from chassis.net.trust import Trust
from chassis.redis.address import RedisAddress
from chassis.redis.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping

RESP_VERSION = 2
"""Every Redis supports it, and it needs no HELLO before AUTH."""

IDENTITY_SECONDS = 0.5
"""Longest wait for the INFO that identifies the server."""

BY_TYPE: tuple[tuple[type[BaseException], type[BackendError], Reason], ...] = (
    (driver.TimeoutError, TransientError, Reason.TIMEOUT),
    (driver.AuthenticationError, PermanentError, Reason.AUTH),
    (driver.AuthorizationError, PermanentError, Reason.AUTH),
    (driver.OutOfMemoryError, TransientError, Reason.EXHAUSTED),
    (driver.InvalidResponse, PermanentError, Reason.PROTOCOL),
)
"""The first match decides; subclasses come before their bases."""

CODES: tuple[tuple[type[BaseException], str], ...] = (
    (driver.BusyLoadingError, "LOADING"),
    (driver.MasterDownError, "MASTERDOWN"),
    (driver.ClusterDownError, "CLUSTERDOWN"),
    (driver.NoPermissionError, "NOPERM"),
)
"""Errors whose first word redis-py removes."""
FIRST_WORD = re.compile(r"[A-Z]+(?= |$)")
NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")


def translate(error: BaseException) -> BackendError:
    """The BackendError for a failure of redis-py or its socket."""
    message = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return TransientError(Reason.TIMEOUT, "the deadline passed")
    if "max number of clients" in message:
        return TransientError(Reason.EXHAUSTED, message)
    code = refusal_code(error)
    known = [REFUSALS[code]] if code else [(result, why) for kind, result, why in BY_TYPE if isinstance(error, kind)]
    if known:
        result, reason = known[0]
        return result(reason, message, code=code)
    cause = _socket_cause(error)
    if cause is not None:
        return socket_error(cause)
    if isinstance(error, driver.ConnectionError):
        return TransientError(Reason.CLOSED, message)
    is_database_missing = "DB index is out of range" in message
    return PermanentError(Reason.MISSING if is_database_missing else Reason.PROTOCOL, message)


def refusal_code(error: BaseException) -> str:
    """The first word of an error by which a running server refuses commands; empty for every other failure.

    Not for a wrong password: whether the server would have answered PING is unknown.
    """
    for kind, code in CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, driver.AuthenticationError):
        return "NOAUTH" if "Authentication required" in str(error) else ""
    word = FIRST_WORD.match(str(error)) if isinstance(error, driver.ResponseError) else None
    return word.group() if word is not None and word.group() in REFUSALS else ""


def _socket_cause(error: BaseException) -> OSError | None:
    """The socket error underneath: redis-py raises its own while handling it, without `from`."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


class RedisSession(KeptConnection[Any]):
    """One kept connection for statistics, used by one command at a time."""

    def __init__(self, address: RedisAddress, *, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        super().__init__("redis.server_changed", max_age_seconds)
        self._address = address

    async def probe(self, address: RedisAddress, timeout_seconds: float) -> float:
        """The same as the function `probe`; the session leaves its server if this one is another."""
        meeting = await _meet(address, timeout_seconds, asks_identity=True)
        self._met = meeting.server
        return meeting.outcome()

    async def info(self, *sections: str, timeout_seconds: float) -> Mapping[str, str | int | float]:
        """The fields of INFO, numbers as numbers; fields such as `db0` stay text. No section means Redis' default set.

        Several sections at once need Redis 7. Raises BackendError.
        """
        answer = await self._ask("INFO", *sections, timeout_seconds=timeout_seconds)
        return parse_info(str(answer))

    async def config_get(self, name: str, *, timeout_seconds: float) -> str | None:
        """The value of one configuration parameter; None if CONFIG is forbidden or the server lacks the parameter.

        Managed services forbid or rename CONFIG. Raises BackendError for anything else.
        """
        try:
            answer = await self._ask("CONFIG", "GET", name, timeout_seconds=timeout_seconds)
        except PermanentError as error:
            if error.reason is Reason.PERMISSION or "unknown command" in str(error).lower():
                return None
            raise
        values = dict(zip(answer[::2], answer[1::2], strict=True))
        return values.get(name)

    async def count_keys(self, *, timeout_seconds: float) -> int:
        """How many keys the database has. Raises BackendError."""
        return int(await self._ask("DBSIZE", timeout_seconds=timeout_seconds))

    async def scan(self, cursor: str, count: int, *, timeout_seconds: float) -> tuple[str, list[str]]:
        """About `count` names of keys, and the next cursor: "0" at the end. Raises BackendError."""
        following, names = await self._ask("SCAN", cursor, "COUNT", str(count), timeout_seconds=timeout_seconds)
        return str(following), [str(name) for name in names]

    async def _ask(self, *command: str, timeout_seconds: float) -> Any:
        """The reply to one command; the deadline includes waiting for the connection and opening it."""
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                return await self._exchange(command)
        except (driver.RedisError, OSError) as error:
            raise translate(error) from error

    async def _exchange(self, command: tuple[str, ...]) -> Any:
        """Sends one command on the kept connection; the lock is held."""
        connection = await self._ready()
        try:
            return await _exchange(connection, command)
        except BaseException as error:
            if not isinstance(error, driver.ResponseError):
                await self._drop(connection)
            raise

    async def _connect(self) -> Any:
        return await _connect(self._address)

    async def _identify(self, connection: Any) -> str | None:
        return await _identity(connection)

    async def _is_usable(self, connection: Any) -> bool:
        return connection.is_connected and not await _is_stale(connection)

    def _has_no_place(self, error: Exception) -> bool:
        return isinstance(error, driver.RedisError | OSError) and translate(error).reason is Reason.EXHAUSTED

    async def _part(self, connection: Any, *, is_polite: bool) -> None:  # noqa: ARG002 - Redis needs no goodbye
        await connection.disconnect(nowait=True)


async def probe(address: RedisAddress, timeout_seconds: float) -> float:
    """Connects afresh, authenticates, sends PING and disconnects; returns the seconds until PONG.

    Raises BackendError; its `code` is one of REFUSALS if the server answered with an error, otherwise empty. Never
    waits longer than `timeout_seconds`.
    """
    return (await _meet(address, timeout_seconds, asks_identity=False)).outcome()


@dataclass(frozen=True, slots=True)
class Meeting:
    """How a server answered PING on a new connection."""

    seconds: float
    server: str | None = None
    """The server's identity; None if not needed or not known in time."""
    refusal: BackendError | None = None
    """The error that it sent instead of PONG."""

    def outcome(self) -> float:
        """The seconds until PONG; raises the refusal, if any."""
        if self.refusal is not None:
            raise self.refusal
        return self.seconds


async def _meet(address: RedisAddress, timeout_seconds: float, *, asks_identity: bool) -> Meeting:
    """Connects, sends PING and disconnects; raises BackendError when the server does not answer."""
    server, refusal = None, None
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(timeout_seconds):
            connection = await _connect(address)
            try:
                try:
                    answer = await _exchange(connection, ("PING",))
                except driver.RedisError as error:
                    refusal = translate(error)
                    if not refusal.code:
                        raise
                seconds = loop.time() - started
                if asks_identity and (refusal is not None or answer == "PONG"):
                    server = await _identity_in_time(connection, (timeout_seconds - seconds) / 2)
            finally:
                await connection.disconnect(nowait=True)
    except (driver.RedisError, OSError) as error:
        raise translate(error) from error
    if refusal is None and answer != "PONG":
        raise PermanentError(Reason.PROTOCOL, "the answer to PING is not PONG")
    return Meeting(seconds, server, refusal)


async def _identity_in_time(connection: Any, timeout_seconds: float) -> str | None:
    """The same as `_identity`; None without an answer in time. The connection is not used afterwards."""
    try:
        async with asyncio.timeout(min(IDENTITY_SECONDS, timeout_seconds)):
            return await _identity(connection)
    except (driver.RedisError, OSError):
        return None


async def _identity(connection: Any) -> str | None:
    """The server's run_id, new at each start; None when INFO is forbidden."""
    try:
        fields = parse_info(str(await _exchange(connection, ("INFO", "server"))))
    except driver.ResponseError as error:
        if "max number of clients" in str(error):
            raise
        return None
    return str(fields["run_id"]) if "run_id" in fields else None


def parse_info(text: str) -> dict[str, str | int | float]:
    """The `name:value` lines of INFO's reply; a version stays text, even if it looks like a number (7.10)."""
    fields: dict[str, str | int | float] = {}
    for line in text.split("\n"):
        name, colon, value = line.removesuffix("\r").partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value if name.endswith("_version") else _number(value)
    return fields


def _number(text: str) -> str | int | float:
    """A decimal number where the text is one; sizes with a unit, words, `nan` and `1_000` stay text."""
    match = NUMBER.fullmatch(text)
    if match is None:
        return text
    return float(text) if match.group(1) else int(text)


async def _connect(address: RedisAddress) -> Any:
    """An authenticated connection in the right database; the caller sets the deadline."""
    target = address.target()
    arguments: dict[str, Any] = {
        "username": target.user, "password": await asyncio.to_thread(address.read_password, target) or None,
        "db": target.database, "socket_timeout": None, "socket_connect_timeout": None, "protocol": RESP_VERSION,
        "retry": Retry(NoBackoff(), 0), "driver_info": None, "decode_responses": True,
        "client_name": address.client_name, "encoding_errors": "replace",
    }  # fmt: skip
    connection: Any
    if target.socket_path is not None:
        connection = UnixDomainSocketConnection(path=target.socket_path, **arguments)
    elif target.is_tls:
        connection = SSLConnection(host=target.host, port=target.port, **target.tls_arguments, **arguments)
        await _load_certificates(connection, target.tls_arguments)
    else:
        connection = Connection(host=target.host, port=target.port, **arguments)
    try:
        await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


@lru_cache(maxsize=64)
def _trust_of(arguments: tuple[tuple[str, Any], ...]) -> Trust:
    """The TLS context that redis-py builds from its arguments; it follows its files."""
    given = dict(arguments)
    files = [given[name] for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if name in given]
    is_system = given["ssl_cert_reqs"] != "none" and "ssl_ca_certs" not in given

    def make() -> Any:
        return SSLConnection(**given).ssl_context.get()  # a new one each time: it loads its files only once

    return Trust(make, files, is_system=is_system, check_seconds=0)


async def _load_certificates(connection: Any, arguments: Mapping[str, Any]) -> None:
    """Sets the connection's TLS context; loading reads files, so it runs off the event loop."""
    try:
        connection.ssl_context.context = await _trust_of(tuple(sorted(arguments.items()))).context()
    except (OSError, ValueError) as error:
        raise PermanentError(Reason.TLS, f"cannot load the certificates: {error}") from error


async def _exchange(connection: Any, command: tuple[str, ...]) -> Any:
    """One command and its reply."""
    await connection.send_command(*command)
    return await connection.read_response()


async def _is_stale(connection: Any) -> bool:
    """Whether the server closed the idle connection or sent something unrequested."""
    try:
        return bool(await connection.can_read())
    except (driver.RedisError, OSError):
        return True
