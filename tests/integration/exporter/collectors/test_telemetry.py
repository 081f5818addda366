from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from chassis.clock import SystemClock
from chassis.errors import PermanentError, Reason, TransientError
from chassis.http.client import HttpClient
from chassis.http.server import serving
from chassis.postgres.session import PostgresSession
from exporter.collectors.control_plane.telemetry import TelemetryCollector, TelemetrySettings
from exporter.collectors.postgres.postgres_canary import PostgresCanaryCollector, PostgresCanarySettings
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import make_sources, samples, value
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(60)

PRESENT = "controlcore_telemetry_present"
LAST = "controlcore_telemetry_last_transmission_timestamp_seconds"


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("made-up-token\n", encoding="utf-8")
    return path


async def collect(url, token, product):
    async with HttpClient.opened() as http, AsyncExitStack() as stack:
        session = PostgresSession(product.address())
        stack.push_async_callback(session.close)
        sources = make_sources(
            ExporterSettings(api=ApiSettings(url=url)),
            http=http,
            clock=SystemClock(),
            postgres=session,
            postgres_address=product.address(),
            database_health=DatabaseHealth(),
        )
        async with (
            PostgresCanaryCollector.open(PostgresCanarySettings(), sources) as canary,
            TelemetryCollector.open(TelemetrySettings(token_file=token), sources) as collector,
        ):
            return await collected(canary, collector)


async def collected(canary, collector):
    """What is read once the database answers quickly: on a busy machine it does not for a moment."""
    async with asyncio.timeout(scaled(30)):
        while True:
            await canary.collect()
            try:
                return await collector.collect()
            except TransientError as error:
                if error.reason is not Reason.SUSPENDED:
                    raise


async def test_api_of_the_snapshot_has_no_telemetry(standin, product, token):
    assert samples((await collect(standin.api_url, token, product)).families) == {PRESENT: {(): 0.0}}


async def test_newer_api_tells_its_last_report_to_whoever_has_the_token(product, token):
    async def get_config(request):
        if request.headers.get("Authorization") != "Bearer made-up-token":
            raise web.HTTPUnauthorized
        return web.json_response({"last_transmission_at": "2026-01-02T03:04:05Z", "next_scheduled_at": None})

    app = web.Application()
    app.router.add_get("/telemetry/config", get_config)
    async with serving(app, "127.0.0.1", 0) as (host, port):
        result = await collect(f"http://{host}:{port}", token, product)
        token.write_text("another\n", encoding="utf-8")
        with pytest.raises(PermanentError) as caught:
            await collect(f"http://{host}:{port}", token, product)
    assert (value(result.families, PRESENT), value(result.families, LAST)) == (1, 1767323045)
    assert caught.value.reason is Reason.AUTH
