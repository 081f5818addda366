"""Accepts connections within limits, so that no peer uses up the memory, open files or slots of the others.

A connection whose request is being answered keeps its slot. Any other (TLS handshake, unfinished header, idle, a peer
that does not read its answer) loses its slot when a new connection needs one, first at the address with most
connections. So new peers get in, however many silent connections exist. When requests take every slot, a new connection
gets 503 and is closed. The same limits hold for requests, even after their connections ended.

A connection ends when its TLS context is replaced, and with a client certificate after a bounded time.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import cast

from aiohttp import StreamReader, web
from aiohttp.web_request import BaseRequest

from chassis.config import ConnectionSettings

READ_BYTES = 64 * 1024
"""Most bytes read at once from a connection. All connections share one buffer."""
WRITE_SECONDS = 30.0
"""A peer that does not read its answer for this long is dropped."""
TAKE_SECONDS = 2.0
"""A peer that has not read its answer after this time loses its slot when a new connection needs one."""
RETRY_MIN_SECONDS, RETRY_MAX_SECONDS = 0.05, 1.0
"""Pause after a failed accept, doubled each time."""
SPARE_FILES = 64
"""Open files that are reserved for backend connections, the journal and the log."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
END_OF_HEADER = b"\r\n\r\n"
UNPARSED_BYTES = 4 * READ_BYTES
"""Limit after the header has arrived: a part of the body comes before the handler begins."""


def _closing_answer(status: str) -> bytes:
    """A complete answer that ends the connection."""
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n".encode()


OVERLOADED_ANSWER = _closing_answer("503 Service Unavailable")
HEADER_LARGE_ANSWER = _closing_answer("431 Request Header Fields Too Large")
Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]


class Dropped(StrEnum):
    """Why a connection or a request was refused before it was handled."""

    OVERLOADED = "overloaded"
    """Requests in progress take every slot."""
    EVICTED = "evicted"
    """It waited, and a new connection needed the slot."""
    HEADER_LATE = "header_late"
    HEADER_LARGE = "header_large"
    SLOW_READER = "slow_reader"
    HANDSHAKE = "handshake"
    """The TLS handshake failed."""
    NO_FILES = "no_files"
    """The operating system has no file descriptor or memory left for another connection."""


Note = Callable[[Dropped], None]


class AcceptedConnections:
    """One server's connections and its accept loop."""

    def __init__(
        self, server: web.Server, settings: ConnectionSettings, note: Note, tls: ssl.SSLContext | None
    ) -> None:
        """Replaces the server's handler: requests are counted before anything else reads them."""
        self.settings = settings
        self.note = note
        self.tls = tls
        """The TLS context of the next connection; `replace_tls` changes it."""
        self.serve: Callable[[], asyncio.Protocol] = server
        self.buffer = memoryview(bytearray(READ_BYTES))
        self._handler: Handler = server.request_handler
        server.request_handler = self.answer
        self._held: dict[Connection, None] = {}
        self._addresses: Counter[str] = Counter()
        self.answering: Counter[str] = Counter()
        """Requests in progress, by address, including those whose connection ended."""
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = min(settings.max_connections, max(4, (allowed - SPARE_FILES) // 2))
        self._most_per_address = settings.max_per_address
        if self._most < settings.max_connections:  # one address may not take all slots when open files are scarce
            self._most_per_address = min(settings.max_per_address, self._most // 2)

    def __len__(self) -> int:
        return len(self._held)

    async def accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        """Accepts until cancelled. After a failure it waits, longer each time, and frees a slot."""
        loop, pause = asyncio.get_running_loop(), RETRY_MIN_SECONDS
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.note(Dropped.NO_FILES)
                    self._evict(None)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_MAX_SECONDS)
                continue
            pause = RETRY_MIN_SECONDS
            self._take(accepted, address_of(peer[0]), group)
            await asyncio.sleep(0)  # earlier accepted connections get their turn

    async def answer(self, request: BaseRequest) -> web.StreamResponse:
        """Answers one request; answers 503 when too many are in progress, in total or for its address.

        A request whose peer has left counts for its address until its answer is ready, so that an address that sends
        and leaves cannot use up the slots of the others.
        """
        connection = None if request.transport is None else request.transport.get_protocol()
        address = address_of(request.remote or "")
        if isinstance(connection, Connection) and connection.is_outdated:
            return web.Response(status=503, headers={"Retry-After": "1", "Connection": "close"})
        if self.answering[address] >= self._most_per_address or self.answering.total() >= self._most:
            self.note(Dropped.OVERLOADED)
            return web.Response(status=503, headers={"Retry-After": "1", "Connection": "close"})
        self.answering[address] += 1
        try:
            if not isinstance(connection, Connection):
                return await self._handler(request)
            with connection.answering(request):
                response = await self._handler(request)
            if connection.is_outdated or connection.is_old:
                response.force_close()
            return response
        finally:
            self.answering[address] -= 1
            if not self.answering[address]:
                del self.answering[address]

    def replace_tls(self, tls: ssl.SSLContext | None) -> None:
        """Uses this context for new connections, and ends those made under the previous one.

        A request that is being answered is answered first.
        """
        if tls is self.tls:
            return
        self.tls = tls
        for connection in [held for held in self._held if held.may_be_evicted]:
            connection.drop(None)

    def close(self) -> None:
        """Ends the connections that are not established yet; the server ends the others."""
        for connection in [held for held in self._held if held.is_unopened]:
            connection.drop(None)

    def forget(self, connection: Connection) -> None:
        """A connection ended."""
        if connection in self._held:
            del self._held[connection]
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def _take(self, accepted: socket.socket, address: str, group: asyncio.TaskGroup) -> None:
        """Gives an accepted connection a slot, or closes it."""
        is_admitted = self._addresses[address] < self._most_per_address or self._evict(address)
        if not (is_admitted and (len(self._held) < self._most or self._evict(None))):
            self.note(Dropped.OVERLOADED)
            with accepted, suppress(OSError):
                accepted.setblocking(False)
                if self.tls is None:
                    accepted.send(OVERLOADED_ANSWER)
            return
        connection = Connection(self, address)
        self._held[connection] = None
        self._addresses[address] += 1
        task = group.create_task(self._connect(connection, accepted), name="connection")
        # Even if the task is cancelled before it has begun.
        task.add_done_callback(lambda _task: accepted.close() if connection.is_unopened else None)
        connection.opens_in(task)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        """Establishes the connection, with TLS if configured."""
        tls, seconds = self.tls, self.settings.header_seconds
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=None if tls is None else seconds
            )
        except OSError:
            self.forget(connection)
            self.note(Dropped.HANDSHAKE)
        except asyncio.CancelledError:
            self.forget(connection)
            if not connection.is_dropped:
                raise

    def _evict(self, address: str | None) -> bool:
        """Drops a waiting connection of this address, or of the address with most; False if there is none."""
        waiting = [held for held in self._held if held.may_be_evicted and address in {None, held.address}]
        if not waiting:
            return False
        # The one that has waited longest, so that a new connection has time to send its request.
        max(waiting, key=lambda held: (self._addresses[held.address], -held.waits_since)).drop(Dropped.EVICTED)
        return True


class Connection(asyncio.BufferedProtocol):
    """Sits between a transport and the HTTP server: counts bytes outside requests, and enforces the deadlines."""

    def __init__(self, owner: AcceptedConnections, address: str) -> None:
        self.address = address
        self.is_dropped = False
        self._owner = owner
        self._tls = owner.tls
        self._ends_at: float | None = None
        """When its client certificate must be verified again; None without one."""
        self._loop = asyncio.get_running_loop()
        self.waits_since = self._loop.time()
        """When it was opened or its last answer ended."""
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Protocol | None = None
        self._answering = 0
        self._body: StreamReader | None = None
        self._header_bytes = 0
        self._tail: bytes | None = b""
        """The last bytes of the header; None once it is complete."""
        self._is_writing_paused = False
        self._deadline: float | None = None
        self._reason: Dropped | None = None
        self._timer: asyncio.TimerHandle | None = None

    def opens_in(self, task: asyncio.Task[None]) -> None:
        """Sets the task that opens the connection."""
        self._task = task

    @property
    def is_unopened(self) -> bool:
        """Whether it was never established."""
        return self._inner is None

    @property
    def is_outdated(self) -> bool:
        """Whether it was made under an earlier TLS context."""
        return self._tls is not self._owner.tls

    @property
    def is_old(self) -> bool:
        """Whether its client certificate was verified too long ago."""
        return self._ends_at is not None and self._loop.time() >= self._ends_at

    @property
    def may_be_evicted(self) -> bool:
        """Whether no request or answer is in progress, or the peer does not read its answer."""
        if self._answering:
            return False
        is_taken = self._transport is None or not self._transport.get_write_buffer_size()
        return is_taken or self._loop.time() - self.waits_since >= TAKE_SECONDS

    @contextmanager
    def answering(self, request: BaseRequest) -> Iterator[None]:
        """Suspends the deadline while a request is being answered."""
        self._answering += 1
        self._header_bytes, self._tail = 0, b""
        self._body = request.content
        self._deadline = None
        try:
            yield
        finally:
            self._answering -= 1
            self.waits_since = self._loop.time()
            self._wait(self._owner.settings.idle_seconds, None)

    def drop(self, reason: Dropped | None, answer: bytes = b"") -> None:
        """Ends the connection, at once unless there is a last answer.

        None means the normal end of an idle connection.
        """
        if self.is_dropped:
            return
        self.is_dropped = True
        self._owner.forget(self)
        if reason is not None:
            self._owner.note(reason)
        if self._transport is None:
            if self._task is not None:
                self._task.cancel()
        elif answer:
            self._transport.write(answer)
            self._transport.close()
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when the connection is open, with TLS after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("peercert"):
            self._ends_at = self._loop.time() + self._owner.settings.max_certificate_seconds
        self._inner = self._owner.serve()
        self._inner.connection_made(transport)
        self._wait(self._owner.settings.header_seconds, Dropped.HEADER_LATE)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """The buffer for the next bytes; they are consumed before the next read."""
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes arrived."""
        data = bytes(self._owner.buffer[:nbytes])
        if self._is_allowed(data) and self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Called when the peer has closed its side."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Called when the peer does not read its answer."""
        self._is_writing_paused = True
        self._arm(WRITE_SECONDS, Dropped.SLOW_READER)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Called when the peer reads again."""
        self._is_writing_paused = False
        self._wait(self._owner.settings.idle_seconds, None)
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended."""
        self._owner.forget(self)
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def _is_allowed(self, data: bytes) -> bool:
        """Counts bytes outside a body; False when there are too many and the connection ends."""
        if self.is_dropped:
            return False
        if self._body is not None and not self._body.is_eof():
            return True
        settings = self._owner.settings
        if not self._header_bytes and not self._answering:
            self._wait(settings.header_seconds, Dropped.HEADER_LATE)
        self._header_bytes += len(data)
        if self._tail is not None:
            seen = self._tail + data
            self._tail = None if END_OF_HEADER in seen else seen[-len(END_OF_HEADER) + 1 :]
        allowed = settings.header_bytes + (UNPARSED_BYTES if self._tail is None else 0)
        if self._header_bytes <= allowed:
            return True
        self.drop(Dropped.HEADER_LARGE, HEADER_LARGE_ANSWER)
        return False

    def _wait(self, seconds: float, reason: Dropped | None) -> None:
        """Begins to wait for the peer, unless an answer is in progress."""
        if not self._answering and not self._is_writing_paused:
            if reason is None and self._ends_at is not None:  # with time to read the last answer
                seconds = min(seconds, max(TAKE_SECONDS, self._ends_at - self._loop.time()))
            self._arm(seconds, reason)
        elif not self._is_writing_paused:
            self._deadline = None

    def _arm(self, seconds: float, reason: Dropped | None) -> None:
        """Sets the deadline; an earlier timer stays and checks again."""
        self._deadline, self._reason = self._loop.time() + seconds, reason
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        """Drops the connection when its deadline has passed."""
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self.drop(self._reason)


def address_of(host: str) -> str:
    """The unit that counts as one address: an IPv4 address, also on an IPv6 socket, or an IPv6 /64 network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
