"""Whatever a backend answers over HTTP, no collector breaks: each gives a reason of the closed set, and a page.

`internal` is the reason of a fault of ours, so that it must not be the answer to rubbish of others.
"""

from __future__ import annotations

import json
import sys

import pytest

from chassis.errors import Reason, TransientError
from chassis.http.call import Call, Response
from exporter.collection.schedule import reason_of
from exporter.collectors import discover
from exporter.results.limits import Budget, admit
from exporter.settings import ApiSettings, BouncerTarget, ExporterSettings
from exporter.sources.sources import DatabaseHealth
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeSql, ItemSource, expose, make_sources

URL = "http://127.0.0.1:9"
ASKING = ("api", "bouncer_caches", "opa", "opal", "pip", "policy", "policy_parity", "telemetry")
"""The collectors that ask over HTTP."""
SPECS = {spec.name: spec for spec in discover()}
KNOWN = (
    "status", "cache_stats", "total_keys", "allow", "reason", "policy_cache", "decision_cache", "size",
    "expired_count", "client_count", "server_count", "broadcaster", "online", "result", "metrics", "running", "id",
    "last_transmission_at", "next_scheduled_at", "timer_rego_query_eval_ns", "timer_server_handler_ns",
)  # fmt: skip
"""The names that collectors read in an answer."""


def everywhere(value: str, depth: int = 2) -> bytes:
    """A JSON object that has this text at every name that any collector reads, also inside."""
    for _ in range(depth):
        value = "{" + ",".join(f'"{name}": {value}' for name in KNOWN) + "}"
    return value.encode()


def histogram(count: str) -> bytes:
    """An OPA's page of one label set for each of two codes."""
    name = "http_request_duration_seconds"
    lines = [f"# TYPE {name} histogram"]
    for code in (200, 500):
        labels = f'code="{code}",handler="v1/data",method="post"'
        lines += [f'{name}_bucket{{{labels},le="+Inf"}} {count}', f"{name}_sum{{{labels}}} {count}"]
    return "\n".join([*lines, ""]).encode()


BODIES = {
    "empty": b"",
    "html": b"<!doctype html><html><body>502 Bad Gateway</body></html>",
    "half": b'{"status": "heal',
    "binary": bytes(range(256)),
    "utf-16": '{"status": "healthy"}'.encode("utf-16"),
    "surrogate": b'{"id": "\\ud800", "result": [{"id": "\\ud800"}]}',
    "list": b"[1, 2, 3]",
    "number": b"7",
    "null": b"null",
    "deep": b"[" * 200_000,
    "deep object": b'{"result":' * 100_000,
    "nulls": everywhere("null"),
    "words": everywhere('"much"'),
    "lists": everywhere("[[]]"),
    "objects": everywhere("{}"),
    "truth": everywhere("true"),
    "fractions": everywhere("0.5"),
    "below zero": everywhere("-1"),
    "not a number": everywhere("NaN"),
    "infinity": everywhere("-Infinity"),
    "beyond a float": everywhere("1e999"),
    "a long number": everywhere("9" * 400),
    "a longer number": everywhere("9" * 5000),
    "counts beyond a float": histogram("1.5e308"),
    "counts that are none": histogram("NaN"),
    "listed rubbish": json.dumps({"result": [None, 1, "x", [], {}, {"id": None}]}).encode(),
}


class Rubbish(ItemSource):
    """Gives every client the same answer."""

    def __init__(self, body, status=200) -> None:
        self.response = Response(status, body, 0.01)

    async def send(self, _call):
        return self.response


def settings_of(name, tmp_path):
    token = tmp_path / "token"
    token.write_text("word")
    own = {
        "opal": {"server_url": URL, "clients": ({"name": "c", "url": URL},)},
        "telemetry": {"token_file": token},
    }
    return SPECS[name].settings(**own.get(name, {}))


async def collect(name, http, tmp_path):
    clock = ManualClock()
    health = DatabaseHealth(is_ok=True, seconds=0.01, checked_monotonic=clock.monotonic())
    target = BouncerTarget(name="b", url=URL, opa_url=URL)
    settings = ExporterSettings(api=ApiSettings(url=URL), bouncers=(target,))
    sql = FakeSql({"pg_attribute": [{"columns": 0}], "SELECT": []})
    sources = make_sources(settings, http=http, clock=clock, database_health=health, postgres=sql)
    async with SPECS[name].open(settings_of(name, tmp_path), sources) as collector:
        try:
            return await collector.collect()
        except Exception as error:  # noqa: BLE001 - as the collector boundary does
            return error


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(("name", "status"), [*((name, 200) for name in ASKING), ("opal", 503)])
async def test_rubbish_has_a_reason_of_its_own_and_the_page_stands(name, kind, status, tmp_path):
    result = await collect(name, Rubbish(BODIES[kind], status), tmp_path)
    failure = result if isinstance(result, Exception) else result.failure
    assert failure is None or reason_of(failure) is not Reason.INTERNAL, failure
    families = () if isinstance(result, Exception) else admit(SPECS[name], result.families, Budget()).families
    page = expose(families)
    assert "NaN" not in page
    assert not [line for line in page.splitlines() if line.endswith("Inf")]
    assert "much" not in page, "what a backend says is no label"


def test_every_collector_that_asks_over_http_is_asked_about():
    """A new one has to answer for itself."""
    loaded = {
        name.rpartition(".")[2]: module for name, module in sys.modules.items() if name.startswith("exporter.coll")
    }
    modules = {name: loaded[name] for name in SPECS}
    found = {name for name, module in modules.items() if vars(module).get("Call") is Call}
    assert found == set(ASKING)


async def test_silence_is_a_reason_too(tmp_path):
    class Silent(ItemSource):
        async def send(self, _call):
            raise TransientError(Reason.TIMEOUT, "no answer")

    for name in ASKING:
        result = await collect(name, Silent(), tmp_path)
        failure = result if isinstance(result, Exception) else result.failure
        assert failure is None or reason_of(failure) is Reason.TIMEOUT
