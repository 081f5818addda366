"""S2: limits on connections, on real sockets; `tests/integration/test_floods.py` floods the programs themselves."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from chassis.config import ConnectionSettings
from chassis.http.connection_limits import Dropped, address_of
from chassis.http.server import Limits, Listener
from chassis.http.web_config import read_web
from chassis.net.sockets import listening_sockets
from tests.fakes.waiting import until
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.slowness import scaled

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
NEIGHBOUR = "127.0.0.2"
LARGE = 2 * 1024 * 1024
"""Pages of the path /large; the kernel's buffers of one connection do not hold it."""
Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class World:
    """A server of one page that waits for `released`; the pages of paths /now and /large do not."""

    listener: Listener
    dropped: list[Dropped]
    stack: AsyncExitStack
    released: asyncio.Event
    asked: list[str] = field(default_factory=list)

    async def connect(self, data: bytes = b"", source: str = "127.0.0.1") -> Peer:
        """A connection from this address that has sent this much."""
        reader, writer = await asyncio.open_connection(*self.listener.bound, local_addr=(source, 0))
        self.stack.callback(writer.close)
        writer.write(data)
        return reader, writer

    async def status(self, peer: Peer, ask: bytes = b"") -> str:
        """The status that arrives on a connection; "" if it is closed without one."""
        reader, writer = peer
        writer.write(ask)
        async with asyncio.timeout(scaled(5)):
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                return head.split()[1].decode()
        return ""

    async def is_closed(self, peer: Peer) -> bool:
        """Waits until the server has closed the connection."""
        async with asyncio.timeout(scaled(5)):
            with suppress(ConnectionError):
                await peer[0].read()
        return True


@asynccontextmanager
async def world(**limits: float) -> AsyncIterator[World]:
    released, dropped, asked = asyncio.Event(), [], []

    async def page(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path not in {"/now", "/large"}:
            await released.wait()
        return web.Response(text="page" if request.path != "/large" else "page" * LARGE)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", page)
    settings = ConnectionSettings.model_validate(limits)
    opening = Listener.opened(app, ("127.0.0.1", 0), drain_seconds=0.1, limits=Limits(settings, dropped.append))
    async with opening as listener, AsyncExitStack() as stack:
        yield World(listener, dropped, stack, released, asked)
        released.set()


NOW = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_new_connection_is_heard_however_many_silent_ones_there_are() -> None:
    """S2: the oldest of those that wait gives its place up."""
    async with world(max_connections=8, max_per_address=8) as server:
        silent = [await server.connect(b"GET / HTTP/1.1\r\nA: b\r\n" * (number % 2)) for number in range(40)]
        assert await server.status(await server.connect(NOW)) == "200"
        assert len(server.listener.connections) <= 8
        assert set(server.dropped) == {Dropped.EVICTED}
        assert all([await server.is_closed(peer) for peer in silent[:30]])


async def test_request_being_answered_keeps_its_place_and_overload_is_503() -> None:
    async with world(max_connections=4, max_per_address=4) as server:
        busy = [await server.connect(ASK) for _ in range(4)]
        await until(lambda: len(server.asked) == 4)
        assert await server.status(await server.connect(NOW)) in {"503", ""}
        assert Dropped.OVERLOADED in server.dropped
        server.released.set()
        assert [await server.status(peer) for peer in busy] == ["200"] * 4
        assert await server.status(await server.connect(NOW)) == "200"


async def test_new_connection_is_heard_among_many_that_have_asked_before() -> None:
    """The one that has waited longest is dropped, not the one that has not sent a request yet."""
    async with world(max_connections=4, max_per_address=4) as server:
        for _ in range(4):
            assert await server.status(await server.connect(NOW)) == "200"
        fresh = await server.connect()
        await server.connect()
        await until(lambda: len(server.dropped) == 2)
        assert await server.status(fresh, NOW) == "200"


async def test_peers_that_do_not_take_their_answer_give_their_places_up() -> None:
    """S2: two addresses took all places with answers that they did not read, for half a minute each time."""
    async with world(max_connections=4, max_per_address=4) as this:
        for _ in range(4):
            reader, _ = await this.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            with suppress(asyncio.LimitOverrunError):
                await reader.readuntil(b"never")  # returns when the reader's buffer is full, which pauses the reading
        for _ in range(100):
            if await this.status(await this.connect(), NOW) == "200":
                break
            await asyncio.sleep(0.1)
        assert Dropped.EVICTED in this.dropped
        assert Dropped.SLOW_READER not in this.dropped


@pytest.mark.parametrize("data", [b"", b"GET / HTT", b"\r\n\r\n", ASK[:-2]])
async def test_header_that_does_not_come_in_time_ends_the_connection(data: bytes) -> None:
    async with world(header_seconds=0.2) as server:
        assert await server.is_closed(await server.connect(data))
        assert server.dropped == [Dropped.HEADER_LATE]


async def test_slow_header_is_not_kept_alive_by_single_bytes() -> None:
    async with world(header_seconds=0.3) as server:
        reader, writer = await server.connect(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(scaled(5)):
            while not reader.at_eof():
                with suppress(ConnectionError):
                    writer.write(b"A")
                    await writer.drain()
                with suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(0.02):
                        await reader.read(1)
                if writer.transport.is_closing():
                    break
        assert server.dropped == [Dropped.HEADER_LATE]


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 4000 + b"\r\nB: c\r\n" * 20, b"GET /" + b"a" * 5000, b"\r\n" * 4000],
)
async def test_large_header_is_431_or_400_and_the_connection_ends(data: bytes) -> None:
    async with world(header_bytes=2048) as server:
        peer = await server.connect(data)
        assert await server.status(peer) in {"431", "400", ""}
        assert await server.is_closed(peer)


async def test_idle_connection_ends() -> None:
    async with world(idle_seconds=0.2) as server:
        peer = await server.connect(NOW)
        assert await server.status(peer) == "200"
        assert await server.is_closed(peer)
        assert server.dropped == []


async def test_body_is_no_header_and_pipelined_requests_are_bounded() -> None:
    async with world(header_bytes=1024) as server:
        body = b"x" * 300_000
        peer = await server.connect(b"POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert await server.status(peer) == "200"
        flood = await server.connect(ASK)
        await until(lambda: "/" in server.asked)
        flood[1].write(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000)
        assert await server.is_closed(flood)
        assert server.dropped == [Dropped.HEADER_LARGE]


async def test_connection_that_leaves_during_its_request_still_counts() -> None:
    """Otherwise requests without a reader would pile up."""
    async with world(max_connections=4, max_per_address=4) as server:
        for number in range(1, 5):
            peer = await server.connect(ASK)
            await until(lambda wanted=number: len(server.asked) == wanted)
            peer[1].transport.abort()
        await until(lambda: len(server.listener.connections) == 0)
        assert await server.status(await server.connect(NOW)) == "503"


async def test_requests_without_a_reader_count_for_their_own_address_alone() -> None:
    """S2: one address left request after request and took the places of all others with them."""
    async with world(max_connections=8, max_per_address=4) as server:
        for number in range(1, 5):
            peer = await server.connect(ASK)
            await until(lambda wanted=number: len(server.asked) == wanted)
            peer[1].transport.abort()
        await until(lambda: len(server.listener.connections) == 0)
        assert [await server.status(await server.connect(NOW)) for _ in range(8)] == ["503"] * 8
        assert await server.status(await server.connect(NOW, NEIGHBOUR)) == "200"
        server.released.set()
        await until(lambda: not server.listener.connections.answering)
        assert await server.status(await server.connect(NOW)) == "200"


async def test_unfinished_handshakes_give_their_places_up(tmp_path: Path) -> None:
    async with world(max_connections=4, max_per_address=4, header_seconds=0.3) as server:
        pair = await asyncio.to_thread(make_serving_pair, tmp_path, "server")
        file = tmp_path / "web.yml"
        file.write_text(f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path}}}")
        await server.listener.replace_tls((await asyncio.to_thread(read_web, file)).tls)
        peers = [await server.connect() for _ in range(12)]
        assert all([await server.is_closed(peer) for peer in peers])
        await until(lambda: len(server.listener.connections) == 0)
        assert {Dropped.EVICTED, Dropped.HANDSHAKE} == set(server.dropped)


async def test_accept_that_fails_waits_and_says_so_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: without open files asyncio's own server writes a hundred lines at each failure."""
    async with world() as server:
        silent = await server.connect()
        loop, failures = asyncio.get_running_loop(), [errno.EMFILE, errno.ECONNABORTED]
        await until(lambda: len(server.listener.connections) == 1)
        accept = loop.sock_accept

        async def fail(listening: socket.socket) -> tuple[socket.socket, object]:
            if failures:
                raise OSError(failures.pop(), "no")
            return await accept(listening)

        monkeypatch.setattr(loop, "sock_accept", fail)
        await server.connect()  # ends the accept that is being waited for
        assert await server.is_closed(silent)
        assert await server.status(await server.connect(NOW)) == "200"
        assert server.dropped == [Dropped.NO_FILES, Dropped.EVICTED]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_address_is_one_peer(host: str, expected: str) -> None:
    assert expected == address_of(host)


@pytest.mark.parametrize("host", ["", "::"])
async def test_empty_host_listens_on_both_families(host: str) -> None:
    """X13: as Go's exporters do."""
    sockets = await listening_sockets(host, 0)
    port = sockets[0].getsockname()[1]
    try:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as peer:
                peer.settimeout(5)
                await asyncio.to_thread(peer.connect, (address, port))
    finally:
        for opened in sockets:
            opened.close()


async def test_ipv4_host_listens_on_ipv4_alone() -> None:
    (opened,) = await listening_sockets("0.0.0.0", 0)  # noqa: S104 - the address under test
    with opened:
        assert opened.family is socket.AF_INET


async def test_system_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    (opened,) = await listening_sockets("", 0)
    with opened:
        assert opened.family is socket.AF_INET
