from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger

from chassis.http import Listener
from exporter import own
from exporter.catalogue import Counter, Metric
from exporter.fast_scrapes import FastScrapes, understand
from exporter.gate import Gate
from exporter.negotiation import Form
from exporter.render import Renderer
from exporter.settings import ServerSettings
from exporter.snapshot import Snapshot, snapshot_of
from tests.fakes.clock import ManualClock

PROMETHEUS = (
    b"GET /metrics HTTP/1.1\r\nHost: exporter:9877\r\nUser-Agent: Prometheus/2.42.0\r\n"
    b"Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"
    b"Accept-Encoding: gzip\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
)
PLAIN = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class World:
    """A site whose ordinary scrapes are answered fast and whose other requests say `slow`."""

    snapshot: Snapshot | None
    settings: ServerSettings = field(default_factory=ServerSettings)
    counter: Counter = field(default_factory=lambda: Counter(own.SCRAPES_REFUSED))
    scrapers: list[str] = field(default_factory=list)
    connections: list[int | None] = field(default_factory=list)
    slow: int = 0
    gate: Gate = field(init=False)
    place: tuple[str, int] = ("", 0)

    def __post_init__(self) -> None:
        logger = structlog.wrap_logger(CapturingLogger(), processors=[])
        self.gate = Gate(self.counter, ManualClock(), logger)

    def show(self, scraper: str, connection: int | None) -> Snapshot | None:
        self.scrapers.append(scraper)
        self.connections.append(connection)
        return self.snapshot

    async def page(self, request: web.Request) -> web.Response:
        self.slow += 1
        return web.Response(text=f"slow {request.path} {await request.text()}")


def page_of(*families: int) -> Snapshot:
    return snapshot_of(Renderer().page([Metric("a", "b", labels=("n",)).family(((str(n),), n) for n in families)]))


def large_page() -> Snapshot:
    """More than the kernel's buffers take at once."""
    text = b"# nothing\n" * 2_000_000
    return Snapshot(text, b"", text, b"")


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[World]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", world.page)
    fast = FastScrapes(world.show, world.gate, world.settings).answer
    async with Listener.opened(app, ("127.0.0.1", 0), fast=fast, drain_seconds=0.1) as listener:
        world.place = listener.bound
        yield world


async def exchange(world: World, *pieces: bytes, answers: int = 1) -> list[tuple[str, dict[str, str], bytes]]:
    """Sends the pieces one after the other, and reads so many answers on the same connection."""
    reader, writer = await asyncio.open_connection(*world.place)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)  # so that each piece is received by itself
        return [await read_answer(reader) for _ in range(answers)]
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    return head[0], headers, await reader.readexactly(int(headers["Content-Length"]))


async def test_ordinary_scrape_is_answered_from_prepared_bytes() -> None:
    async with serving(World(page_of(1))) as world:
        status, headers, body = (await exchange(world, PROMETHEUS))[0]
        assert (status, gzip.decompress(body)) == ("HTTP/1.1 200 OK", page_of(1).openmetrics)
        assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert headers["Date"].endswith("GMT")
        assert (world.slow, world.scrapers) == (0, ["127.0.0.1 Prometheus/2.42.0 /metrics"])


async def test_many_scrapes_share_a_connection() -> None:
    async with serving(World(page_of(1))) as world:
        found = await exchange(world, *[PLAIN] * 5, answers=5)
        assert [body for _, _, body in found] == [page_of(1).text] * 5
    assert len(set(world.connections)) == 1
    assert isinstance(world.connections[0], int)


@pytest.mark.parametrize(
    "pieces",
    [
        (PLAIN[:10], PLAIN[10:]),
        (PLAIN + PLAIN[:10], PLAIN[10:]),
        (PLAIN.replace(b"/metrics", b"/metrics?name[]=a"),),
        (PLAIN.replace(b"GET", b"HEAD").replace(b"HEAD", b"POST"),),
        (PLAIN.replace(b"Host: x", b"Host: x\r\nAuthorization: Basic eA=="),),
        (PLAIN.replace(b"Host: x", b"Host: x\r\nContent-Length: 0"),),
        (PLAIN.replace(b"Host: x", b"Host: x\r\nAccept: */*\r\nAccept: text/plain"),),
    ],
)
async def test_anything_else_goes_the_usual_way(pieces: tuple[bytes, ...]) -> None:
    async with serving(World(page_of(1))) as world:
        answers = await exchange(world, *pieces)
        assert answers[0][2].startswith(b"slow /metrics")


async def test_body_that_looks_like_a_scrape_is_a_body() -> None:
    """After anything unusual a connection stays with the server, which alone knows where a request ends."""
    post = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(PLAIN)
    async with serving(World(page_of(1))) as world:
        answers = await exchange(world, post, PLAIN)
        assert (answers[0][2], world.scrapers) == (b"slow /x " + PLAIN, [])


async def test_page_that_must_be_collected_first_is_left_to_the_server() -> None:
    async with serving(World(None)) as world:
        assert (await exchange(world, PLAIN))[0][2] == b"slow /metrics "


async def test_full_gate_is_left_to_the_server_which_says_so() -> None:
    async with serving(World(page_of(1), ServerSettings(max_scrapes=1))) as world:
        world.gate.in_flight = 1
        assert (await exchange(world, PLAIN))[0][2] == b"slow /metrics "


async def test_reader_that_never_reads_holds_a_place_and_is_dropped() -> None:
    large = large_page()
    async with serving(World(large, ServerSettings(slow_reader_seconds=0.3))) as world:
        reader, writer = await asyncio.open_connection(*world.place, limit=1024)
        writer.write(PLAIN)
        while world.gate.in_flight == 0:  # noqa: ASYNC110 - the kernel's buffers fill without an event
            await asyncio.sleep(0.01)
        while world.gate.in_flight:  # noqa: ASYNC110 - same
            await asyncio.sleep(0.01)
        assert world.counter.values == {("slow_reader",): 1.0}
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(len(large.text))
        writer.close()


async def test_slow_but_reading_scraper_gets_everything_and_frees_its_place() -> None:
    large = large_page()
    async with serving(World(large)) as world:
        answers = await exchange(world, PLAIN)
        assert answers[0][2] == large.text
        while world.gate.in_flight:  # noqa: ASYNC110 - looked at every tenth of a second
            await asyncio.sleep(0.01)
        assert world.counter.values == {}


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_left_alone(data: bytes) -> None:
    understand(data)
    understand(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + data + b"\r\n\r\n")


def test_form_is_what_the_headers_ask_for() -> None:
    found, plain = understand(PROMETHEUS), understand(PLAIN)
    assert found is not None
    assert plain is not None
    assert (found.form, plain.form) == (Form(is_openmetrics=True, is_gzip=True), Form(False, False))
