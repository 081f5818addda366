from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from chassis.http import serving
from exporter.catalogue import Metric
from exporter.render import Renderer
from exporter.server import PATHS, Site
from exporter.snapshot import Snapshot, snapshot_of

TEXT = b"# HELP a b\n# TYPE a gauge\na 1.0\n"
OPENMETRICS = b"# TYPE a gauge\n# HELP a b\na 1.0\n# EOF\n"
A = Metric("a", "b")
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def showing(value: float) -> Snapshot:
    """A snapshot of one gauge."""
    return snapshot_of(Renderer().page([A.value(value)]))


@dataclass
class World:
    """What the site is asked to show, and a way to ask it."""

    snapshot: Snapshot = field(default_factory=lambda: showing(1))
    pending: tuple[str, ...] = ()
    asked_landing: int = 0

    def landing(self) -> str:
        self.asked_landing += 1
        return "<p>hello</p>"


Asked = tuple[int, bytes, dict[str, str]]


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[Callable[..., aiohttp.client._RequestContextManager]]:
    site = Site(lambda: world.snapshot, lambda: world.pending, world.landing)
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
    assert (status, body, headers["Content-Encoding"]) == (200, world.snapshot.gzip, "gzip")


@pytest.mark.parametrize("path", PATHS)
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
    assert (packed, gzip.decompress(packed)) == (world.snapshot.openmetrics_gzip, OPENMETRICS)


async def test_healthy_while_nothing_is_ready() -> None:
    status, body, _ = await ask(World(pending=("api",)), "GET", "/-/healthy")
    assert (status, body) == (200, b"healthy\n")


async def test_not_ready_until_every_collector_has_run_and_says_which() -> None:
    status, body, _ = await ask(World(pending=("api", "redis")), "GET", "/-/ready")
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
    [("POST", "/metrics", "GET, HEAD"), ("DELETE", "/", "GET, HEAD"), ("GET", "/api/v1/alerts", "POST")],
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
