"""The exporter's pages besides /metrics: results of collectors, reloading, further deployments."""

from __future__ import annotations

import json

import pytest

from chassis.errors import Reason
from exporter.results.record import CollectionOutcome, CollectorRecord, past_of
from tests.fakes.collector import ScriptedCollector
from tests.unit.exporter.http.test_server import World, ask, asking


async def test_debug_page_tells_the_last_results_as_text_and_json() -> None:
    world = World()
    record = CollectorRecord(ScriptedCollector([]).spec("first"), 10.0, 5.0, world.clock.monotonic())
    for number in range(25):
        record.history.append(
            past_of(CollectionOutcome("first", 1e9 + number, 0.0, 0.25, reason=Reason.REFUSED, message="no"))
        )
    world.found = (record,)
    status, body, headers = await ask(world, "GET", "/debug/collectors?format=json")
    results = json.loads(body)["deployments"][0]["collectors"][0]["results"]
    assert (status, headers["Content-Type"], len(results)) == (200, "application/json; charset=utf-8", 20)
    assert results[0] == {
        "began": "2001-09-09T01:47:04.000+0000",
        "began_timestamp_seconds": 1e9 + 24,
        "duration_seconds": 0.25,
        "is_success": False,
        "reason": "refused",
        "message": "no",
        "series": None,
    }
    _, text, _ = await ask(world, "GET", "/debug/collectors")
    assert text.decode().count("refused: no") == 20


async def test_reload_answers_with_the_faults() -> None:
    assert (await ask(World(), "POST", "/-/reload"))[:2] == (200, b"reloaded\n")
    status, body, _ = await ask(World(faults=("api.url: no URL",)), "POST", "/-/reload")
    assert (status, body) == (500, b"api.url: no URL\n")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("target=berlin", 200),
        ("target=unknown", 404),
        ("", 400),
        ("target=", 400),
        ("target=a&target=b", 400),
        ("target=10.0.0.1", 400),
        ("target=db:5432", 400),
        ("target=http%3A%2F%2Fx", 400),
        ("target=..%2Fx", 400),
        ("target=a%0Ab", 400),
        ("target=" + "a" * 65, 400),
    ],
)
async def test_probe_takes_the_name_of_a_deployment_and_nothing_else(query: str, status: int) -> None:
    world = World()
    assert (await ask(world, "GET", f"/probe?{query}"))[0] == status
    reason = {400: "malformed", 404: "unknown_target"}.get(status)
    assert world.refused.values == ({(reason,): 1.0} if reason else {})
    assert [scrape.deployment for scrape in world.scrapes] == ([query[7:]] if status != 400 else [])


async def test_malformed_probes_write_one_line_a_minute_and_never_what_was_asked_for() -> None:
    world = World()
    async with asking(world) as request:
        for number in range(20):
            async with request("GET", f"/probe?target=http://10.0.0.{number}/secret"):
                pass
        await world.clock.advance(61.0)
        async with request("GET", "/probe?target=%00"):
            pass
    assert world.refused.values == {("malformed",): 21.0}
    assert [call.kwargs["reason"] for call in world.logged.calls] == ["malformed", "malformed"]
    assert "10.0.0" not in str(world.logged.calls)
