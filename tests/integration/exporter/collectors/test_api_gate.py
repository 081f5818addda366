"""No request that makes the API work is sent while its database hangs, and never two at the same time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from chassis.clock import SystemClock
from chassis.errors import Reason, TransientError
from chassis.http.client import HttpClient
from chassis.http.server import serving
from chassis.postgres.session import PostgresSession
from exporter.collectors.control_plane.api import ApiCollector, ApiCollectorSettings
from exporter.collectors.control_plane.pip import PipCollector, PipSettings
from exporter.collectors.control_plane.telemetry import TelemetryCollector, TelemetrySettings
from exporter.collectors.postgres.postgres_canary import PostgresCanaryCollector, PostgresCanarySettings
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import make_sources
from tests.fakes.waiting import until
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(60)
HARMLESS = "/health"


class SlowApi:
    """Answers everything after a moment, and keeps count of what it works on at the same time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.may_answer = asyncio.Event()
        """Everything but the health page waits while it is not set."""
        self.may_answer.set()
        self.working = 0
        self.most = 0
        self.asked: list[str] = []
        self.app = web.Application()
        self.app.router.add_get("/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == HARMLESS:
            return web.json_response({"status": "healthy"})
        self.asked.append(request.path)
        self.working += 1
        self.most = max(self.most, self.working)
        await asyncio.sleep(self.seconds)
        await self.may_answer.wait()
        self.working -= 1
        return web.json_response({"running": True, "cache_stats": {"total_keys": 1}})


@asynccontextmanager
async def watched(api, product, tmp_path, **settings):
    """Every collector that queries the API, and the canary."""
    token = tmp_path / "token"
    token.write_text("made-up", encoding="utf-8")
    async with AsyncExitStack() as stack:
        host, port = await stack.enter_async_context(serving(api.app, "127.0.0.1", 0))
        session = PostgresSession(product.address())
        stack.push_async_callback(session.close)
        sources = make_sources(
            ExporterSettings(api=ApiSettings(url=f"http://{host}:{port}")),
            http=await stack.enter_async_context(HttpClient.opened()),
            clock=SystemClock(),
            postgres=session,
            postgres_address=product.address(),
            database_health=DatabaseHealth(),
        )
        canary = PostgresCanarySettings(probe_timeout_seconds=scaled(0.25))
        opened = (
            ApiCollector.open(ApiCollectorSettings(**settings), sources),
            PipCollector.open(PipSettings(query_timeout_seconds=scaled(0.5)), sources),
            TelemetryCollector.open(TelemetrySettings(token_file=token), sources),
            PostgresCanaryCollector.open(canary, sources),
        )
        yield [await stack.enter_async_context(each) for each in opened]


async def test_collectors_ask_the_api_one_after_the_other(product, tmp_path):
    api = SlowApi(0.05)
    async with watched(api, product, tmp_path) as (*collectors, canary):
        await canary.collect()
        await asyncio.gather(*(each.collect() for each in collectors))
    wanted = {"/opal/bouncer-pairs", "/pip/cache/stats", "/pip/sync/scheduler-stats", "/telemetry/config"}
    assert set(api.asked) == wanted
    assert api.most == 1


async def test_frozen_database_sends_the_api_nothing_that_would_wait_for_it(product, tmp_path):
    """Also just after the canary found it healthy, for every collector's request; Redis needs no database."""
    api = SlowApi(0.0)
    async with watched(api, product, tmp_path) as (probe, pip, telemetry, canary):
        await canary.collect()
        await asyncio.gather(probe.collect(), pip.collect(), telemetry.collect())
        api.asked.clear()
        product.server.freeze()
        try:
            found = [
                await asyncio.gather(probe.collect(), pip.collect(), telemetry.collect(), return_exceptions=True)
                for _ in range(2)
            ]
        finally:
            product.server.thaw()
    assert [path for path in api.asked if path != "/pip/cache/stats"] == []
    for _, _, suspended in found:
        assert isinstance(suspended, TransientError)
        assert suspended.reason is Reason.SUSPENDED


async def test_request_that_was_given_up_is_the_only_one_until_health_is_answered(product, tmp_path):
    """It is unknown whether the API still works on it, so no further request is sent."""
    api = SlowApi(0.0)
    api.may_answer.clear()
    async with watched(api, product, tmp_path, deep_timeout_seconds=0.3, redis_timeout_seconds=0.3) as found:
        probe, pip, telemetry, canary = found
        await canary.collect()
        await probe.collect()
        given_up = list(api.asked)
        with pytest.raises(TransientError) as suspended:
            await telemetry.collect()
        await pip.collect()
        assert (given_up, api.asked) == (["/opal/bouncer-pairs"], given_up)
        assert suspended.value.reason is Reason.SUSPENDED

        api.may_answer.set()
        await until(lambda: not api.working)
        await probe.collect()
        await telemetry.collect()
    assert api.asked[-1] == "/telemetry/config"
    assert api.most == 1
