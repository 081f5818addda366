from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.control_plane.api_gate import ANSWERING
from exporter.collectors.control_plane.telemetry import TelemetryCollector, TelemetrySettings, read_moment
from exporter.settings import ApiSettings, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.sources import FakeHttp, FakeSql, expose, golden, make_sources, samples

URL = "http://api:8000/telemetry/config"
API = ExporterSettings(api=ApiSettings(url="http://api:8000"))
QUICK = DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=1000.0)
NAIVE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


def say(body, status=200):
    return Response(status, json.dumps(body).encode(), 0.001)


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("made-up\n", encoding="utf-8")
    return path


def sources_with(http, health=QUICK):
    return make_sources(API, http=http, postgres=FakeSql({ANSWERING: [{"answering": 1}]}), database_health=health)


async def collect(token, answer):
    http = FakeHttp({URL: answer})
    async with TelemetryCollector.open(TelemetrySettings(token_file=token), sources_with(http)) as collector:
        return await collector.collect(), http


@pytest.mark.parametrize(
    "health",
    [
        DatabaseHealth(is_ok=False, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=2.0, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=900.0),
    ],
)
async def test_api_is_not_asked_unless_the_database_is_known_to_be_quick(token, health):
    http = FakeHttp({URL: say({})})
    async with TelemetryCollector.open(TelemetrySettings(token_file=token), sources_with(http, health)) as collector:
        with pytest.raises(BackendError) as caught:
            await collector.collect()
    assert (caught.value.reason, http.calls) == (Reason.SUSPENDED, [])


async def test_first_canary_is_waited_for(token):
    sources = sources_with(FakeHttp({URL: say({})}), DatabaseHealth())
    async with (
        TelemetryCollector.open(TelemetrySettings(token_file=token), sources) as collector,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(collector.collect())
        await sources.clock.advance(0.2)
        assert not task.done()
        health = sources.database_health
        health.is_ok, health.seconds, health.checked_monotonic = True, 0.01, sources.clock.monotonic()
        await sources.clock.advance(0.2)
    assert samples(task.result().families) == {"controlcore_telemetry_present": {(): 1.0}}


async def test_without_a_database_nobody_watches_over_the_api(token):
    with pytest.raises(NotConfiguredError, match="database"):
        async with TelemetryCollector.open(TelemetrySettings(token_file=token), make_sources(API)):
            pass


async def test_linked_build_gives_the_golden_page(token):
    body = {"last_transmission_at": "2026-01-02T03:04:05Z", "next_scheduled_at": "2026-01-03T03:04:05+00:00"}
    result, http = await collect(token, say(body))
    assert expose(result.families) == golden("telemetry")
    assert http.calls[0].headers["Authorization"] == "Bearer made-up"


async def test_build_without_telemetry_says_so_and_nothing_else(token):
    result, _ = await collect(token, say({"detail": "Not Found"}, 404))
    assert samples(result.families) == {"controlcore_telemetry_present": {(): 0.0}}


async def test_link_that_never_reported_has_no_time(token):
    result, _ = await collect(token, say({"last_transmission_at": None}))
    assert samples(result.families) == {"controlcore_telemetry_present": {(): 1.0}}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say({}, 401), Reason.AUTH),
        (say([]), Reason.MALFORMED),
        (TransientError(Reason.TIMEOUT, "no answer"), Reason.TIMEOUT),
    ],
)
async def test_answer_that_says_nothing_is_a_failure(token, answer, reason):
    with pytest.raises(BackendError) as caught:
        await collect(token, answer)
    assert caught.value.reason is reason


@pytest.mark.parametrize("text", ["yesterday", 5, [], {}, "2999-01-01T00:00:00"])
async def test_time_that_cannot_be_is_left_out_alone(token, text):
    """P1, X17: one bad field, or a report in the future, costs itself."""
    result, _ = await collect(token, say({"last_transmission_at": text, "next_scheduled_at": "2026-01-02T00:00:00"}))
    assert set(samples(result.families)) == {
        "controlcore_telemetry_present",
        "controlcore_telemetry_next_transmission_timestamp_seconds",
    }


async def test_token_that_cannot_be_read_is_an_auth_failure(tmp_path):
    with pytest.raises(PermanentError) as caught:
        await collect(tmp_path / "gone", say({}))
    assert caught.value.reason is Reason.AUTH


def test_time_without_a_zone_is_utc():
    assert read_moment("2026-01-02T03:04:05") == NAIVE == read_moment("2026-01-02T04:04:05+01:00")


async def test_api_or_token_missing_is_not_configured(token):
    for settings, given in ((ExporterSettings(), token), (API, None)):
        with pytest.raises(NotConfiguredError):
            async with TelemetryCollector.open(TelemetrySettings(token_file=given), make_sources(settings)):
                pass
