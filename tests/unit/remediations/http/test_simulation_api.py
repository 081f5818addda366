"""The read-only routes: the same answers as the commands, and nothing written."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from remediations.core.codec import to_data, to_short_text
from remediations.core.decision_inputs import make_inputs
from remediations.core.model.facts import Fact, History
from remediations.core.model.remediation import Record, State
from remediations.http import simulation_api
from remediations.journal.port import StateChange
from tests.fakes.decisions import NOW, a_policy_set, a_remediation, facts, restart_policy
from tests.fakes.http_server import GOOD, RIGHT, Running, running
from tests.fakes.running_remediator import POLICIES
from tests.unit.remediations.http.test_api import answer_schema, call, check, held

PLAN, CHECK = "/api/v1/plan", "/api/v1/check-config"
PAYLOAD = {"version": "4", "alerts": [GOOD]}


@pytest.fixture
async def server(tmp_path):
    async with running(tmp_path) as made:
        yield made


async def test_plan_is_what_would_be_done_and_nothing_is_written(server: Running):
    status, told = await call(server, "POST", PLAN, {"payload": PAYLOAD})

    check(answer_schema("post", PLAN), told)
    (decided,) = told["decisions"]
    assert (status, decided["policy"], decided["decision"]) == (200, "restart-api", "act")
    assert "+ spec.template.metadata.annotations" in decided["difference"]
    assert list(await server.journal.listing()) == []
    assert server.woken == []


async def test_plan_is_held_by_what_holds_the_engine(server: Running):
    await call(server, "PUT", "/api/v1/pauses/migration", {"owner": "ann", "reason": "tables move"})
    (paused,) = (await call(server, "POST", PLAN, {"payload": PAYLOAD}))[1]["decisions"]
    await call(server, "DELETE", "/api/v1/pauses/migration")
    server.live["condition"] = Fact(None, "promql", "nobody answered")
    (unknown,) = (await call(server, "POST", PLAN, {"payload": PAYLOAD}))[1]["decisions"]

    assert (paused["decision"], "tables move" in paused["detail"]) == ("hold", True)
    assert (unknown["decision"], unknown["reason"]) == ("hold", "condition_unknown")


async def test_plan_on_recorded_facts_asks_nobody(server: Running):
    server.live["condition"] = Fact(None, "promql", "must not be asked")
    recorded = json.loads(json.dumps(to_data(facts())))

    status, told = await call(server, "POST", PLAN, {"payload": PAYLOAD, "facts": recorded})

    assert (status, told["decisions"][0]["decision"]) == (200, "act")
    assert told["decisions"][0]["recorded_facts"] == recorded


async def test_alert_that_no_policy_wants_has_no_decision(server: Running):
    alert = {**GOOD, "labels": {"alertname": "Other"}}
    assert await call(server, "POST", PLAN, {"payload": {"version": "4", "alerts": [alert]}}) == (
        200,
        {"decisions": []},
    )


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "payload"),
        ({"payload": []}, "payload"),
        ({"payload": {"version": "3", "alerts": []}}, "version"),
        ({"payload": PAYLOAD, "facts": {"condition": 5}}, "condition"),
        ({"payload": PAYLOAD, "fact": {}}, "fact"),
        ({"payload": PAYLOAD | {"externalURL": "x" * 200}}, "bytes"),
    ],
)
async def test_body_that_cannot_be_planned_is_refused_with_its_place(server: Running, body, word, monkeypatch):
    monkeypatch.setattr(simulation_api, "MAX_PLAN_BYTES", 250)
    status, answer = await call(server, "POST", PLAN, body)
    assert (status, word in answer["error"]) == (400, True), answer


async def test_too_many_pairs_are_refused_before_anything_is_asked(server: Running, monkeypatch):
    monkeypatch.setattr(simulation_api, "MAX_PAIRS", 0)
    status, answer = await call(server, "POST", PLAN, {"payload": PAYLOAD})
    assert (status, "1 pairs" in answer["error"]) == (400, True)


async def test_live_systems_are_asked_by_one_request_at_a_time(server: Running, monkeypatch):
    asking, most = 0, 0

    async def slow(*_asked: Any, **_named: Any) -> tuple[()]:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.02)
        asking -= 1
        return ()

    monkeypatch.setattr("remediations.engine.simulation.simulate", slow)
    await asyncio.gather(*(call(server, "POST", PLAN, {"payload": PAYLOAD}) for _ in range(5)))
    assert most == 1


async def test_decision_is_replayed_and_a_difference_is_told(server: Running):
    inputs = make_inputs(a_remediation(), restart_policy(), a_policy_set(), facts(), History(), NOW)
    name = await held(server, decision="act", reason="guards_passed", inputs=to_short_text(inputs))
    path = "/api/v1/remediations/{id}/replay"

    status, same = await call(server, "GET", path.format(id=name))
    check(answer_schema("get", path), same)
    assert (status, same["is_same"], [item["now"] for item in same["decisions"]]) == (200, True, ["act guards_passed"])

    claim = await server.journal.claim("two", server.clock.now() + 1e7, 10)
    assert claim is not None
    data = {"decision": "hold", "reason": "paused", "inputs": to_short_text(inputs)}
    change = StateChange(Record(NOW, "decision", State.HELD, data), next_at=NOW)
    await server.journal.advance(claim, State.CLAIMED, State.HELD, server.clock.now() + 1e7, change)
    told = (await call(server, "GET", path.format(id=name)))[1]
    assert (told["is_same"], [item["is_same"] for item in told["decisions"]]) == (False, [True, False])
    assert (await call(server, "GET", path.format(id="nobody")))[0] == 404


async def test_policy_text_is_checked_without_asking_the_api_server(server: Running):
    status, good = await call(server, "POST", CHECK, {"policies": POLICIES})
    check(answer_schema("post", CHECK), good)
    assert (status, good["is_valid"], good["faults"]) == (200, True, [])
    assert good["policies"][0]["self_test"] == "unknown"
    assert [(item["policy"], item["mode"]) for item in good["policies"]] == [("restart-api", "auto")]

    status, bad = await call(server, "POST", CHECK, {"policies": POLICIES.replace("restart_workload", "reboot")})
    check(answer_schema("post", CHECK), bad)
    assert (status, bad["is_valid"], bad["policies"]) == (200, False, [])
    assert any("policies[0] (restart-api).action" in fault["path"] for fault in bad["faults"]), bad["faults"]


async def test_programs_own_files_are_checked_as_they_are_now(server: Running, tmp_path):
    _, missing = await call(server, "POST", CHECK)
    await asyncio.to_thread((tmp_path / "policies.yaml").write_text, POLICIES)
    _, there = await call(server, "POST", CHECK)

    assert (missing["is_valid"], there["is_valid"]) == (False, True), there["faults"]
    assert missing["faults"][0]["path"] == "policies_file"


@pytest.mark.parametrize(
    "body", [b'{"payload": {}, "facts": ' + b"[" * 30_000, b'{"policies": "' + b"[" * 5_000 + b'"}']
)
async def test_body_nested_without_end_is_refused(server: Running, body):
    """Each at both routes: one of them takes the field, the other does not know it."""
    for path in (PLAN, CHECK):
        async with server.session.request("POST", server.url + path, data=body, headers=RIGHT) as answer:
            assert answer.status in {200, 400}, await answer.text()


def merges(width: int) -> str:
    """S5: 485 bytes of merges that became millions of keys."""
    lines = ["a0: &a0 {k: v}"]
    return "\n".join([*lines, *(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, 16))])


@pytest.mark.parametrize("text", [merges(9), merges(2), "[" * 30_000, "a: &a [*a]", "a: " + "9" * 5000])
async def test_policies_that_unfold_without_measure_are_a_fault(server: Running, text):
    """S5: reported at once, so no thread works on after the request is over."""
    status, told = await call(server, "POST", CHECK, {"policies": text})
    assert (status, len(told["faults"])) == (200, 1)
    assert "not YAML" in told["faults"][0]["message"]
