from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from chassis.errors import BackendError, Reason
from chassis.http.client import HttpClient
from chassis.http.client_auth import AuthorizationSettings
from chassis.http.server import serving
from remediations.core.policies.limits import CustomGuard, HoldIf
from remediations.core.policies.policy import Query
from remediations.facts.prometheus import FRESHNESS, PrometheusClient
from remediations.settings import PrometheusSettings
from tests.fakes.clock import ManualClock

QUERY = Query('up{job="x"}', ("api", "postgres"), 60.0)


def vector(*samples: tuple[dict[str, str], Any]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1.0, str(value)]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@dataclass
class Upstream:
    """A Prometheus that gives these answers to these queries."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    authorization: str | None = None
    gate: asyncio.Event | None = None

    async def query(self, request: web.Request) -> web.Response:
        promql = request.query["query"]
        self.asked.append(promql)
        self.authorization = request.headers.get("Authorization")
        if self.gate is not None:
            await self.gate.wait()
        key = FRESHNESS if promql.startswith(FRESHNESS) else promql
        return web.json_response(self.answers.get(key, vector()), status=self.status)


@asynccontextmanager
async def asking(upstream: Upstream, clock: ManualClock, **settings: Any) -> Any:
    app = web.Application()
    app.router.add_get("/prefix/api/v1/query", upstream.query)
    async with serving(app, "127.0.0.1", 0, drain_seconds=0.1) as (host, port), HttpClient.opened() as http:
        yield PrometheusClient(http, PrometheusSettings(url=f"http://{host}:{port}/prefix/", **settings), clock)


def fresh(clock: ManualClock, **ages: float) -> dict[str, Any]:
    return vector(*[({"collector": name}, clock.now() - age) for name, age in ages.items()])


async def test_fresh_single_answer_is_believed_and_dated_by_its_oldest_collector():
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=7), QUERY.promql: vector(({}, 1))})

    async with asking(upstream, clock) as client:
        fact = await client.query(QUERY)

    assert (fact.value, fact.problem) == (True, "")
    assert fact.collected_at == pytest.approx(clock.now() - 7)
    assert upstream.asked == [f'{FRESHNESS}{{collector=~"api|postgres"}}', QUERY.promql]


async def test_zero_is_false():
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=2), QUERY.promql: vector(({}, 0))})

    async with asking(upstream, clock) as client:
        assert (await client.query(QUERY)).value is False


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (vector(), "no sample"),
        (vector(({"a": "1"}, 1), ({"a": "2"}, 1)), "2 samples"),
        (vector(({}, "NaN")), "NaN"),
        ({"status": "success"}, "malformed"),
        ({"data": {"resultType": "matrix", "result": []}}, "matrix"),
    ],
)
async def test_answer_that_is_not_one_number_is_unknown(answer, problem):
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=2), QUERY.promql: answer})

    async with asking(upstream, clock) as client:
        fact = await client.query(QUERY)

    assert fact.value is None
    assert problem in fact.problem


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            {"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unclosed left parenthesis"},
            "http_4xx: HTTP status 400: 1:5: parse error: unclosed left parenthesis",
        ),
        (
            {"error": 'x{password="hunter2hunter2"}: unknown'},
            "http_4xx: HTTP status 400: x{password=[removed]}: unknown",
        ),
        ({"error": "word " * 200}, "http_4xx: HTTP status 400: " + "word " * 60),
        ({"status": "error"}, "http_4xx: HTTP status 400"),
        (["error"], "http_4xx: HTTP status 400"),
    ],
)
async def test_error_of_prometheus_is_passed_on_with_its_address(answer: Any, told: str):
    """R4, M7: which query is broken, and where; bounded and without secrets."""
    clock = ManualClock()
    upstream = Upstream({"up": answer}, status=400)
    async with asking(upstream, clock) as client:
        fact = await client.query(Query("up", (), 60.0))
    assert (
        re.sub(r"127\.0\.0\.1:\d+", "host", fact.problem)
        == f"Prometheus at http://host/prefix/ (prometheus.url): {told}"
    )


async def test_prometheus_that_is_away_is_named_with_its_setting():
    async with HttpClient.opened() as http:
        client = PrometheusClient(http, PrometheusSettings(url="http://127.0.0.1:1"), ManualClock())
        fact = await client.query(QUERY)
    assert fact.problem == "Prometheus at http://127.0.0.1:1 (prometheus.url): connection refused"


async def test_stale_data_is_unknown_whatever_the_sample_says():
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=61), QUERY.promql: vector(({}, 1))})

    async with asking(upstream, clock) as client:
        fact = await client.query(QUERY)

    assert fact.value is None
    assert fact.problem == "collected 61.0 s ago, more than 60 s"
    assert QUERY.promql not in upstream.asked


async def test_collector_that_is_not_known_makes_the_answer_unknown():
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2), QUERY.promql: vector(({}, 1))})

    async with asking(upstream, clock) as client:
        fact = await client.query(QUERY)

    assert (fact.value, fact.problem) == (None, "no collection is known for: postgres")


async def test_oldest_of_several_exporters_counts():
    clock = ManualClock()
    ages = vector(
        ({"collector": "api", "pod": "a"}, clock.now() - 1), ({"collector": "api", "pod": "b"}, clock.now() - 90)
    )
    upstream = Upstream({FRESHNESS: ages, "x": vector(({}, 1))})

    async with asking(upstream, clock) as client:
        assert (await client.query(Query("x", ("api",)))).value is None


async def test_collection_in_the_far_future_is_unknown():
    """One of the clocks is wrong, and it is unknown which."""
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=-3600), "x": vector(({}, 1))})

    async with asking(upstream, clock) as client:
        assert (await client.query(Query("x", ("api",)))).value is None


@pytest.mark.parametrize(("status", "reason"), [(500, "http_5xx"), (401, "auth"), (422, "http_4xx")])
async def test_refusal_is_unknown_with_its_reason(status, reason):
    async with asking(Upstream(status=status), ManualClock()) as client:
        fact = await client.query(QUERY)

    assert fact.value is None
    assert reason in fact.problem


async def test_prometheus_that_does_not_answer_is_unknown_in_time():
    upstream = Upstream(gate=asyncio.Event())

    async with asking(upstream, ManualClock(), timeout_seconds=0.1) as client:
        fact = await client.query(QUERY)
        upstream.gate.set()

    assert "timeout" in fact.problem


async def test_token_is_sent_from_its_file(tmp_path):
    path = tmp_path / "token"
    await asyncio.to_thread(path.write_text, "abc\n")
    upstream = Upstream({"x": vector(({}, 1))})

    async with asking(upstream, ManualClock(), authorization=AuthorizationSettings(credentials_file=path)) as client:
        await client.instant("x")

    assert upstream.authorization == "Bearer abc"


async def test_token_that_cannot_be_read_is_an_error_of_authentication(tmp_path):
    async with asking(
        Upstream(), ManualClock(), authorization=AuthorizationSettings(credentials_file=tmp_path / "none")
    ) as client:
        with pytest.raises(BackendError) as caught:
            await client.instant("x")

    assert caught.value.reason is Reason.AUTH


async def test_scalar_is_a_sample_too():
    upstream = Upstream({"scalar(x)": {"data": {"resultType": "scalar", "result": [1.0, "3"]}}})

    async with asking(upstream, ManualClock()) as client:
        (sample,) = await client.instant("scalar(x)")

    assert sample.value == 3.0


async def test_age_that_several_questions_share_is_asked_once_and_before_each_value():
    clock = ManualClock()
    other = Query("other", QUERY.collectors, 60.0)
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=7), QUERY.promql: vector(({}, 1)), "other": vector()})
    async with asking(upstream, clock) as prometheus, asyncio.TaskGroup() as group:
        tasks = [group.create_task(prometheus.query(query)) for query in (QUERY, other)]
        facts = [await task for task in tasks]
    assert [fact.value for fact in facts] == [True, None]
    assert upstream.asked[0].startswith(FRESHNESS)
    assert sorted(upstream.asked[1:]) == ["other", QUERY.promql]


async def test_age_is_asked_again_by_the_next_question():
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=7), QUERY.promql: vector(({}, 1))})
    async with asking(upstream, clock) as prometheus:
        await prometheus.query(QUERY)
        await prometheus.query(QUERY)
    assert len(upstream.asked) == 4


PARTIAL = (
    ("warnings", ["remote_read: Get http://127.0.0.1:1/read: connection refused"]),
    ("warnings", ["PromQL info: metric might not be a counter", "1 more warning annotations omitted"]),
    ("warnings", ['PromQL warning: encountered a mix of histograms and floats for metric name "x"']),
    ("warnings", ["results truncated due to limit"]),
    ("isPartial", True),
)
COMPLETE = (
    ("infos", ["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket"]),
    ("warnings", ["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket"]),
    ("warnings", ["PromQL warning: quantile value should be between 0 and 1, got 2"]),
    ("warnings", []),
    ("isPartial", False),
)


@pytest.mark.parametrize(("key", "value"), PARTIAL)
async def test_partial_answer_is_none(key, value):
    """R4: neither a question, a number, a guard of the policy nor the age of the data is believed."""
    clock = ManualClock()
    for query in (QUERY.promql, FRESHNESS):
        upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=7), QUERY.promql: vector(({}, 1))})
        upstream.answers[query] |= {key: value}
        async with asking(upstream, clock) as client:
            facts = (await client.query(QUERY), await client.measure(QUERY))
            guard = await client.has_samples(CustomGuard("g", QUERY.promql, HoldIf.NONEMPTY, "r", QUERY.collectors))
        for fact in (*facts, guard):
            assert fact.value is None
            assert "the answer is partial" in fact.problem


@pytest.mark.parametrize(("key", "value"), COMPLETE)
async def test_hint_of_the_engine_leaves_the_answer_whole(key, value):
    """R4."""
    clock = ManualClock()
    upstream = Upstream({FRESHNESS: fresh(clock, api=2, postgres=7), QUERY.promql: vector(({}, 1)) | {key: value}})
    async with asking(upstream, clock) as client:
        assert (await client.query(QUERY)).value is True
