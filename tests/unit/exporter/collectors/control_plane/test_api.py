from __future__ import annotations

import asyncio
import contextlib

import pytest
from pydantic import ValidationError

from chassis.errors import ConfigError, Reason, TransientError
from chassis.http.call import Call, Response
from exporter.collector import NotConfiguredError
from exporter.collectors.control_plane.api import ApiCollector, ApiCollectorSettings
from exporter.collectors.control_plane.api_gate import ANSWERING
from exporter.settings import ApiSettings, ExporterSettings, Scope, place_of
from exporter.sources.sources import DatabaseHealth
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeHttp, FakeSql, expose, golden, make_sources, samples, value

HEALTHY = Response(200, b'{"status":"healthy"}', 0.003)
PAIRS = Response(200, b'{"total_resources":2,"pairs":[]}', 0.02)
CACHE = Response(200, b'{"cache_stats":{"total_keys":3,"encrypted_keys":0},"connection_id":null}', 0.005)
REDIS = "controlcore_api_redis_path_success"
SUCCESS, SUSPENDED = "controlcore_api_deep_probe_success", "controlcore_api_deep_probe_suspended"
FAILURES, DURATION = "controlcore_api_probe_failures_total", "controlcore_api_health_duration_seconds"
REACHABLE = "controlcore_api_reachable"


@contextlib.asynccontextmanager
async def listening():
    """A port whose owner accepts and never says a word."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Api:
    """An API with a health and a deep answer, and a database of known health."""

    def __init__(self, url: str, health=HEALTHY, deep=PAIRS, cache=CACHE, database=None, **settings) -> None:
        self.http = FakeHttp(
            {f"{url}/health": health, f"{url}/opal/bouncer-pairs": deep, f"{url}/pip/cache/stats": cache}
        )
        self.clock = ManualClock()
        self.database = database or DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=self.clock.monotonic())
        self.sql = FakeSql({ANSWERING: [{"answering": 1}]})
        sources = make_sources(http=self.http, clock=self.clock, database_health=self.database, postgres=self.sql)
        self.collector = ApiCollector(ApiCollectorSettings(**settings), url, sources)

    @property
    def asked(self) -> list[str]:
        """The probes without the request for the cache statistics."""
        return [call.url.rsplit("/", 1)[-1] for call in self.http.calls if not call.url.endswith("/stats")]


async def test_healthy_api_gives_the_golden_page():
    async with listening() as url:
        result = await Api(url).collector.collect()
    assert expose(result.families) == golden("api")
    assert (result.components, result.failure) == ({"api": True}, None)


async def test_hanging_api_is_reachable_down_and_counted_with_its_deadline():
    async with listening() as url:
        result = await Api(url, health=TransientError(Reason.TIMEOUT, "no answer")).collector.collect()
    page = expose(result.families)
    assert value(result.families, REACHABLE) == 1
    assert value(result.families, FAILURES, "health", "timeout") == 1
    assert 'controlcore_api_probe_duration_seconds_sum{endpoint="health"} 1.8\n' in page
    assert "http_request_duration_seconds_sum 1.8\n" in page
    assert DURATION not in samples(result.families), "no answer has no duration"
    assert result.components == {"api": False}
    assert result.failure is None, "down is a finding: its freshness is relied on"


async def test_closed_port_is_unreachable_and_adds_no_duration():
    async with listening() as url:
        pass
    result = await Api(url, health=TransientError(Reason.REFUSED, "refused")).collector.collect()
    assert value(result.families, REACHABLE) == 0
    assert 'controlcore_api_probe_duration_seconds_count{endpoint="health"} 0.0\n' in expose(result.families)


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "http_5xx"), (503, "http_5xx"), (404, "missing"), (302, "http_3xx")]
)
async def test_health_that_is_no_2xx_is_down(status, reason):
    async with listening() as url:
        result = await Api(url, health=Response(status, b"", 0.001)).collector.collect()
    assert result.components == {"api": False}
    assert value(result.families, FAILURES, "health", reason) == 1


async def test_status_of_the_last_answer_is_told_and_unknown_without_one():
    code = "controlcore_api_probe_http_status_code"
    async with listening() as url:
        api = Api(url, health=HEALTHY, deep=Response(503, b"", 0.001))
        assert samples((await api.collector.collect()).families)[code] == {("health",): 200, ("deep",): 503}
        api.http.answers[f"{url}/health"] = TransientError(Reason.CLOSED, "gone")
        assert code not in samples((await api.collector.collect()).families)


@pytest.mark.parametrize(
    "database",
    [
        DatabaseHealth(),
        DatabaseHealth(is_ok=False, seconds=None, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=0.9, checked_monotonic=1000.0),
        DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=900.0),
    ],
    ids=["unknown", "down", "slow", "old"],
)
async def test_database_that_is_not_known_to_be_well_suspends_the_deep_probe(database):
    async with listening() as url:
        api = Api(url, database=database)
        result = await api.collector.collect()
    assert api.asked == ["health"]
    assert value(result.families, SUSPENDED) == 1
    assert SUCCESS not in samples(result.families)


async def test_database_that_froze_since_the_canary_suspends_the_deep_probe():
    """The canary is up to an interval old; a deep probe into a frozen database blocks the API for everybody."""
    async with listening() as url:
        api = Api(url)
        api.sql.answers[ANSWERING] = TransientError(Reason.TIMEOUT, "no answer")
        result = await api.collector.collect()
    assert api.asked == ["health"]
    assert value(result.families, SUSPENDED) == 1
    assert SUCCESS not in samples(result.families)


async def test_api_that_did_not_answer_health_gets_no_deep_probe():
    async with listening() as url:
        api = Api(url, health=TransientError(Reason.TIMEOUT, "no answer"))
        result = await api.collector.collect()
    assert api.asked == ["health"]
    assert value(result.families, SUSPENDED) == 1


@pytest.mark.parametrize(
    ("deep", "reason"),
    [
        (Response(500, b'{"error":"Security check failed"}', 0.1), "http_5xx"),
        (Response(200, b"<html>", 0.1), "malformed"),
        (Response(200, b"[]", 0.1), "malformed"),
        (TransientError(Reason.TIMEOUT, "no answer"), "timeout"),
    ],
)
async def test_broken_way_to_the_database_fails_the_deep_probe_alone(deep, reason):
    async with listening() as url:
        result = await Api(url, deep=deep).collector.collect()
    assert value(result.families, SUCCESS) == 0
    assert value(result.families, FAILURES, "deep", reason) == 1
    assert result.components == {"api": True}


@pytest.mark.parametrize("status", [401, 403, 404, 307])
async def test_build_that_does_not_let_us_ask_says_nothing_about_its_database(status):
    async with listening() as url:
        result = await Api(url, deep=Response(status, b"", 0.001)).collector.collect()
    assert SUCCESS not in samples(result.families)
    assert value(result.families, SUSPENDED) == 0


async def test_deep_probe_switched_off_publishes_neither_success_nor_suspension():
    async with listening() as url:
        api = Api(url, deep_probe=False)
        names = samples((await api.collector.collect()).families)
    assert api.asked == ["health"]
    assert not {SUCCESS, SUSPENDED} & set(names)


async def test_every_probe_uses_a_connection_of_its_own():
    calls: list[Call] = []

    def note(call: Call) -> Response:
        calls.append(call)
        return HEALTHY

    async with listening() as url:
        await Api(url, health=note, deep=note).collector.collect()
    assert [call.headers["Connection"] for call in calls] == ["close", "close"]


def test_runs_beside_each_replica():
    assert ApiCollector.collector_spec.scope is Scope.POD


@pytest.mark.parametrize(
    ("url", "place"),
    [("http://api:8000", ("api", 8000)), ("http://api", ("api", 80)), ("https://[::1]/base", ("::1", 443))],
)
def test_place_of_a_url(url, place):
    assert place_of(url) == place


def test_url_without_a_host_is_a_configuration_fault():
    with pytest.raises(ConfigError, match=r"api\.url"):
        place_of("api:8000")


async def test_opened_collector_asks_the_configured_api():
    async with listening() as url:
        http = FakeHttp({f"{url}/health": HEALTHY, f"{url}/pip/cache/stats": CACHE})
        sources = make_sources(ExporterSettings(api=ApiSettings(url=f"{url}/")), http=http)
        async with ApiCollector.open(ApiCollectorSettings(), sources) as collector:
            assert (await collector.collect()).components == {"api": True}


async def test_no_api_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with ApiCollector.open(ApiCollectorSettings(), make_sources()):
            pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (CACHE, 1),
        (Response(200, b'{"cache_stats":{"error":"Error 111 connecting"},"connection_id":null}', 0.005), 0),
        (Response(200, b'{"cache_stats":{"error":"x","total_keys":3}}', 0.005), 0),
        (Response(200, b'{"cache_stats":{}}', 0.005), None),
        (Response(200, b'{"cache_stats":{"total_keys":"3"}}', 0.005), None),
        (Response(200, b"[]", 0.005), None),
        (Response(200, b"<html>", 0.005), None),
        (Response(404, b'{"detail":"Not Found"}', 0.005), None),
        (Response(500, b"{}", 0.005), None),
        (TransientError(Reason.TIMEOUT, "no answer"), None),
    ],
)
async def test_way_to_redis_is_told_by_the_statistics_or_unknown(answer, expected):
    async with listening() as url:
        result = await Api(url, cache=answer).collector.collect()
    assert value(result.families, REDIS) == expected
    assert sum(samples(result.families)[FAILURES].values()) == 0, "it is no probe"


async def test_statistics_that_cost_the_api_a_scan_are_asked_for_once_a_minute():
    async with listening() as url:
        api = Api(url)
        for _ in range(7):
            result = await api.collector.collect()
            await api.clock.advance(10)
        assert value(result.families, REDIS) == 1
    assert sum(call.url.endswith("/stats") for call in api.http.calls) == 2


async def test_api_that_is_down_is_not_asked_and_its_way_to_redis_unknown():
    async with listening() as url:
        api = Api(url)
        await api.collector.collect()
        api.http.answers[f"{url}/health"] = TransientError(Reason.TIMEOUT, "no answer")
        result = await api.collector.collect()
    assert value(result.families, REDIS) is None


def test_question_more_often_than_once_a_minute_is_refused():
    with pytest.raises(ValidationError):
        ApiCollectorSettings(redis_interval_seconds=59)
