from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
import structlog
from structlog.testing import CapturingLogger

from chassis.http.server import serving
from chassis.process.loop_watchdog import LoopWatchdog
from exporter import self_metrics
from exporter.exposition.negotiation import Form
from exporter.exposition.publisher import Snapshot
from exporter.exposition.text_format import Renderer
from exporter.http.debug_page import Records
from exporter.http.scrape_limiter import ScrapeLimiter
from exporter.http.server import PATHS, Scrape, WebServer
from exporter.metrics import Counter, Histogram, Kind, Metric
from exporter.results.record import CollectorRecord
from exporter.settings import ServerSettings
from tests.fakes.clock import ManualClock

TEXT = b"# HELP a b\n# TYPE a gauge\na 1.0\n"
OPENMETRICS = b"# TYPE a gauge\n# HELP a b\na 1.0\n# EOF\n"
A = Metric("a", "b")
PACKED, OPENMETRICS_PACKED = (Form(is_openmetrics=kind, is_gzip=True) for kind in (False, True))
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def showing(value: float) -> Snapshot:
    """A snapshot of one gauge."""
    return Snapshot(Renderer().page([A.value(value)]), set())


@dataclass
class World:
    """The site's content, and a client for it."""

    snapshot: Snapshot = field(default_factory=lambda: showing(1))
    waiting: tuple[str, ...] = ()
    asked_landing: int = 0
    faults: tuple[str, ...] = ()
    scrapes: list[Scrape] = field(default_factory=list)
    held: asyncio.Event | None = None
    settings: ServerSettings = field(default_factory=ServerSettings)
    refused: Counter = field(default_factory=lambda: Counter(self_metrics.SCRAPES_REFUSED))
    clock: ManualClock = field(default_factory=ManualClock)
    logged: CapturingLogger = field(default_factory=CapturingLogger)
    found: tuple[CollectorRecord, ...] = ()

    async def scrape(self, scrape: Scrape) -> Snapshot | None:
        self.scrapes.append(scrape)
        if self.held is not None:
            await self.held.wait()
        return None if scrape.deployment == "unknown" else self.snapshot

    def owners(self, _deployment: str) -> dict[str, str]:
        return {"a": "first", "b_seconds": "second"}

    def records(self) -> Records:
        return {"": self.found}

    def pending(self) -> tuple[str, ...]:
        return self.waiting

    def now_monotonic(self) -> float:
        return self.clock.monotonic()

    def describe(self) -> str:
        self.asked_landing += 1
        return "<p>hello</p>"

    async def reload(self) -> tuple[str, ...]:
        return self.faults


Asked = tuple[int, bytes, dict[str, str]]


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Callable[..., aiohttp.client._RequestContextManager]]:
    gate = ScrapeLimiter(world.refused, world.clock, structlog.wrap_logger(world.logged, processors=[]))
    site = WebServer(world, gate, world.settings)
    async with (
        serving(site.application(), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}", auto_decompress=False) as session,
    ):
        yield session.request


async def ask(world: World, method: str, path: str, **headers: str) -> Asked:
    async with asking(world) as request:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        skipped = {} if "Accept-Encoding" in named else {"skip_auto_headers": ("Accept-Encoding",)}
        async with request(method, path, headers=named, **skipped) as answer:
            return answer.status, await answer.read(), dict(answer.headers)


async def test_scrape_without_gzip_gets_the_text() -> None:
    status, body, headers = await ask(World(), "GET", "/metrics")
    assert (status, body, headers["Content-Type"]) == (200, TEXT, "text/plain; version=0.0.4; charset=utf-8")
    assert ("Content-Encoding" in headers, headers["Vary"]) == (False, "Accept, Accept-Encoding")


async def test_scrape_with_gzip_gets_the_prepared_bytes() -> None:
    world = World()
    status, body, headers = await ask(world, "GET", "/metrics", Accept_Encoding="gzip")
    assert (status, body, headers["Content-Encoding"]) == (
        200,
        world.snapshot.body(PACKED),
        "gzip",
    )


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/probe"])
async def test_head_has_the_headers_and_no_body(path: str) -> None:
    status, body, headers = await ask(World(), "HEAD", path)
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


async def test_scraper_that_prefers_openmetrics_gets_it_plain_and_packed() -> None:
    world = World()
    status, body, headers = await ask(world, "GET", "/metrics", Accept=PROMETHEUS)
    assert (status, body, headers["Content-Type"]) == (
        200,
        OPENMETRICS,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
    _, packed, _ = await ask(world, "GET", "/metrics", Accept=PROMETHEUS, Accept_Encoding="gzip")
    assert (packed, gzip.decompress(packed)) == (
        world.snapshot.body(OPENMETRICS_PACKED),
        OPENMETRICS,
    )


async def test_healthy_while_nothing_is_ready() -> None:
    status, body, _ = await ask(World(waiting=("api",)), "GET", "/-/healthy")
    assert (status, body) == (200, b"healthy\n")


class Blocked(LoopWatchdog):
    problem = "the event loop was blocked a moment ago"


async def test_unhealthy_for_a_moment_after_the_loop_was_blocked() -> None:
    world = World()
    gate = ScrapeLimiter(world.refused, world.clock, structlog.wrap_logger(world.logged, processors=[]))
    site = WebServer(world, gate, world.settings, Blocked())
    async with (
        serving(site.application(), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/-/healthy") as answer,
    ):
        assert (answer.status, await answer.text()) == (503, "the event loop was blocked a moment ago\n")


async def test_not_ready_until_every_collector_has_run_and_says_which() -> None:
    status, body, _ = await ask(World(waiting=("api", "redis")), "GET", "/-/ready")
    assert (status, body) == (503, b"waiting for the first collection of: api, redis\n")


async def test_ready_when_none_is_pending() -> None:
    assert (await ask(World(), "GET", "/-/ready"))[0] == 200


async def test_alerts_are_misdirected_and_the_answer_names_the_remediator() -> None:
    async with (
        asking(World()) as request,
        request("POST", "/api/v1/alerts", json={"version": "4"}) as answer,
    ):
        body = await answer.json()
    assert (answer.status, body["remediator"], body["port"], body["path"]) == (
        421,
        "controlcore-remediator",
        9878,
        "/api/v1/alerts",
    )


async def test_unknown_path_lists_the_known_ones() -> None:
    status, body, _ = await ask(World(), "GET", "/metric")
    assert status == 404
    assert [path for path in PATHS if path not in body.decode()] == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("GET", "/api/v1/alerts", "POST"),
        ("GET", "/-/reload", "POST"),
    ],
)
async def test_wrong_method_is_refused_with_the_right_ones(method: str, path: str, allowed: str) -> None:
    status, _, headers = await ask(World(), method, path)
    assert (status, headers["Allow"]) == (405, allowed)


async def test_landing_page_is_html_and_made_when_asked() -> None:
    world = World()
    status, body, headers = await ask(world, "GET", "/")
    assert (status, body, headers["Content-Type"], world.asked_landing) == (
        200,
        b"<p>hello</p>",
        "text/html; charset=utf-8",
        1,
    )


async def test_scrape_sees_the_newest_snapshot() -> None:
    world = World()
    async with asking(world) as request:
        for value in (1.0, 2.0):
            world.snapshot = showing(value)
            async with request("GET", "/metrics", skip_auto_headers=("Accept-Encoding",)) as answer:
                assert (await answer.read()).endswith(f"a {value}\n".encode())


B = Metric("b_seconds", "x", Kind.HISTOGRAM, buckets=(1.0,))


def two_collectors() -> Snapshot:
    """A page of two collectors, and what the exporter says of them."""
    success = self_metrics.SUCCESS.family({("first",): 1, ("second",): 0})
    families = [
        A.value(1),
        Histogram(B).initialise([()]).family(),
        success,
        self_metrics.BUILD_INFO.family({self_metrics.BUILD: 1}),
    ]
    return Snapshot(Renderer().page(families), set())


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=a", ["a"]),
        ("name[]=b_seconds_bucket", ["b_seconds_bucket", "b_seconds_bucket", "b_seconds_count", "b_seconds_sum"]),
        ("name[]=a&name[]=nothing", ["a"]),
        ("name[]=nothing", []),
        ("collect[]=first", ["a", "controlcore_exporter_build_info", "controlcore_scrape_collector_success"]),
        ("collect[]=first&name[]=a", ["a"]),
        ("collect[]=second&name[]=a", []),
    ],
)
async def test_scrape_may_choose_families_and_collectors(query: str, names: list[str]) -> None:
    status, body, _ = await ask(World(two_collectors()), "GET", f"/metrics?{query}")
    lines = [line for line in body.decode().splitlines() if line[0] != "#"]
    assert (status, sorted(line.partition("{")[0].partition(" ")[0] for line in lines)) == (200, names)


async def test_choice_writes_no_whole_page() -> None:
    """A form that only selections used is not prepared: each new page would be compressed in vain."""
    world = World(two_collectors())
    await ask(world, "GET", "/metrics?name[]=a", Accept_Encoding="gzip")
    assert world.snapshot.ready(PACKED) is None
    await ask(world, "GET", "/metrics", Accept_Encoding="gzip")
    assert world.snapshot.ready(PACKED) is not None


async def test_chosen_collectors_success_is_told_alone() -> None:
    _, body, _ = await ask(World(two_collectors()), "GET", "/metrics?collect[]=first")
    assert [line for line in body.decode().splitlines() if line.startswith("controlcore_scrape")] == [
        'controlcore_scrape_collector_success{collector="first"} 1.0'
    ]


async def test_choice_comes_in_every_form() -> None:
    world = World(two_collectors())
    _, body, headers = await ask(
        world, "GET", "/metrics?name[]=a", Accept="application/openmetrics-text", Accept_Encoding="gzip"
    )
    assert (gzip.decompress(body), headers["Content-Encoding"]) == (OPENMETRICS, "gzip")


async def test_unknown_collector_is_refused_with_those_there_are() -> None:
    status, body, _ = await ask(World(), "GET", "/metrics?collect[]=frist")
    assert (status, body) == (400, b"no such collector; there are: first, second\n")


async def test_scrape_says_who_asks_and_how_long_it_waits() -> None:
    world = World()
    await ask(world, "GET", "/metrics", X_Prometheus_Scrape_Timeout_Seconds="7.5", User_Agent="Prometheus/3.0")
    await ask(world, "GET", "/metrics", X_Prometheus_Scrape_Timeout_Seconds="soon", User_Agent="Prometheus/3.0")
    assert [(scrape.scraper, scrape.timeout_seconds) for scrape in world.scrapes] == [
        ("127.0.0.1 Prometheus/3.0 /metrics", 7.5),
        ("127.0.0.1 Prometheus/3.0 /metrics", None),
    ]


async def test_scrape_beyond_the_limit_is_refused_counted_and_written_once() -> None:
    world = World(held=asyncio.Event(), settings=ServerSettings(max_scrapes=1))
    async with asking(world) as request, asyncio.TaskGroup() as group:
        first = group.create_task(_status(request))
        await until(lambda: bool(world.scrapes))
        assert [await _status(request), await _status(request)] == [503, 503]
        world.held.set()  # type: ignore[union-attr] # set above
        assert await first == 200
        assert await _status(request) == 200
    assert (world.refused.values, len(world.logged.calls)) == ({("overloaded",): 2.0}, 1)


async def test_one_address_gets_half_of_the_places() -> None:
    """S2: also when it opens more connections than there are places."""
    world = World(held=asyncio.Event(), settings=ServerSettings(max_scrapes=4))
    async with asking(world) as request, asyncio.TaskGroup() as group:
        first = [group.create_task(_status(request)) for _ in range(2)]
        await until(lambda: len(world.scrapes) == 2)
        assert await _status(request) == 503
        world.held.set()  # type: ignore[union-attr] # set above
        assert [await task for task in first] == [200, 200]
        assert await _status(request) == 200


async def until(holds: Callable[[], bool]) -> None:
    """Lets the server run until something holds."""
    while not holds():  # noqa: ASYNC110 - the server under test tells nobody
        await asyncio.sleep(0.001)


async def _status(request: Callable[..., aiohttp.client._RequestContextManager]) -> int:
    async with request("GET", "/metrics") as answer:
        await answer.read()
        return answer.status


async def test_reader_that_never_reads_is_dropped_and_hurts_nobody() -> None:
    long = Metric("a", "b" * 20_000_000)  # more than the kernel's buffers take at once
    snapshot = Snapshot(Renderer().page([long.value(1)]), set())
    world = World(snapshot, settings=ServerSettings(slow_reader_seconds=0.2, max_scrapes=1))
    gate = ScrapeLimiter(world.refused, world.clock, structlog.wrap_logger(world.logged, processors=[]))
    async with serving(WebServer(world, gate, world.settings).application(), "127.0.0.1", 0) as (host, port):
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: gate.in_flight == 1)
        await until(lambda: gate.in_flight == 0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1 << 30)
        writer.close()
    assert world.refused.values == {("slow_reader",): 1.0}
