"""An HTTP client whose every call has a deadline.

The client never follows redirects (a key would travel to another origin), reads at most `max_bytes` of a body, sends a
plain User-Agent (the product bans agents that look like scanners), and turns every failure into a BackendError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from chassis.documents import PLAIN_LIST, DocumentError, ItemForm, ItemReader
from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import Call, Response, status_error
from chassis.http.client_sessions import Connections
from chassis.net.kept import MAX_AGE_SECONDS
from chassis.net.sockets import socket_error, socket_text
from chassis.net.trust import Trust, system_trust

USER_AGENT = "controlcore-sidecar/0.1"
THREAD_FROM_CHARACTERS = 256 * 1024
"""A longer item is parsed in a thread: parsing takes milliseconds, once for each piece."""
MAX_HEADERS = 64
"""Header fields of one request to our server."""


class HttpClient:
    """Sends calls over one connection pool. Open it with `opened()`."""

    def __init__(self, connections: Connections, trust: Trust) -> None:
        self._connections = connections
        self._trust = trust

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, *, trust: Trust | None = None, max_connections: int = 32, max_age_seconds: float = MAX_AGE_SECONDS
    ) -> AsyncIterator[HttpClient]:
        """Opens the pool and closes it at exit; without `trust`, servers are verified by the system's authorities."""
        # No cookies: each call is independent, so that a probe does not see state from an earlier one.
        async with Connections.opened(
            max_connections=max_connections, max_age_seconds=max_age_seconds, headers={"User-Agent": USER_AGENT}
        ) as connections:
            yield cls(connections, trust or system_trust())

    async def send(self, call: Call) -> Response:
        """Sends one request and returns its answer, whatever the status.

        Raises TransientError(timeout | refused | dns | unreachable | closed) or PermanentError(tls | malformed).
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self._asked(call) as answer:
            body = bytearray()
            async for piece in _pieces(answer, call):
                body += piece
            return Response(answer.status, bytes(body), loop.time() - started, answer.headers.get("Date", ""))

    async def read_items(
        self, call: Call, take: Callable[[list[Any]], Awaitable[None]], form: ItemForm = PLAIN_LIST
    ) -> None:
        """Sends one request whose answer is or holds a JSON list, and passes the items to `take` as they arrive.

        The list is never in memory as a whole. Raises what `send` raises, and for a status other than 2xx its reason.
        """
        reader = ItemReader(form)
        async with self._asked(call) as answer:
            if not 200 <= answer.status < 300:  # noqa: PLR2004 - the 2xx class
                raise status_error(answer.status)
            try:
                async for piece in _pieces(answer, call):
                    is_long = reader.pending_characters > THREAD_FROM_CHARACTERS
                    await take(await asyncio.to_thread(reader.feed, piece) if is_long else reader.feed(piece))
                    await asyncio.sleep(0)
                await take(reader.feed(b"", is_last=True))
            except DocumentError as error:
                raise PermanentError(Reason.MALFORMED, f"the body: {error}") from error

    @asynccontextmanager
    async def _asked(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request while it is open; every failure within the call's deadline is a BackendError."""
        is_answered = False
        try:
            async with (
                asyncio.timeout(call.timeout_seconds),
                self._connections.lend() as session,
                session.request(
                    call.method,
                    call.url,
                    headers=call.headers,
                    json=call.json,
                    params=call.params,
                    allow_redirects=False,
                    ssl=await self._tls(call.url),
                ) as answer,
            ):
                is_answered = True
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientSSLError):
                self._trust.suspect()
            raise translate(error) from error
        except ValueError as error:
            if is_answered:
                raise
            # An invalid host name (UnicodeError), or a header that contains a line end.
            raise PermanentError(Reason.MALFORMED, "this address or credential cannot be sent") from error

    async def _tls(self, url: str) -> ssl.SSLContext | bool:
        """The current trust; raises PermanentError(tls) while no CA could be loaded."""
        if not url.lower().startswith("https:"):
            return True
        try:
            return await self._trust.context()
        except (OSError, ValueError) as error:
            raise PermanentError(Reason.TLS, f"cannot load the CA certificates: {error}") from error


async def _pieces(answer: aiohttp.ClientResponse, call: Call) -> AsyncIterator[bytes]:
    """The body in pieces; raises PermanentError as soon as it is larger than the call allows."""
    size = 0
    async for piece in answer.content.iter_chunked(64 * 1024):
        size += len(piece)
        if size > call.max_bytes:
            named = f"; the limit is the setting {call.limit_setting}" if call.limit_setting else ""
            raise PermanentError(Reason.MALFORMED, f"the body is larger than {call.max_bytes} bytes{named}")
        yield piece


def translate(error: BaseException) -> BackendError:
    """The BackendError for an aiohttp or socket failure."""
    table: tuple[tuple[type[BaseException], type[BackendError], Reason], ...] = (
        (TimeoutError, TransientError, Reason.TIMEOUT),
        (aiohttp.ClientSSLError, PermanentError, Reason.TLS),
        (aiohttp.ServerDisconnectedError, TransientError, Reason.CLOSED),
        (aiohttp.ClientPayloadError, TransientError, Reason.CLOSED),
        (aiohttp.ClientResponseError, PermanentError, Reason.PROTOCOL),
    )
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return PermanentError(Reason.MALFORMED, "not a usable URL")  # its text is the URL, which may contain a password
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransientError(Reason.DNS, socket_text(error.os_error))
    for kind, result, reason in table:
        if isinstance(error, kind):
            return result(reason, str(error) or kind.__name__)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return socket_error(cause) if isinstance(cause, OSError) else TransientError(Reason.UNREACHABLE, str(error))
