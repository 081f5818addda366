from __future__ import annotations

import json
import re
from typing import Any

import pytest

from remediations.core.model.acts import ActKind
from remediations.core.model.remediation import Record, State
from remediations.core.model.stored import plan_hash
from remediations.journal.approvals import proposal_data
from remediations.journal.port import StateChange
from remediations.shipped import read_openapi
from tests.fakes.decisions import NOW
from tests.fakes.http_server import GOOD, RIGHT, Running, running
from tests.unit.remediations.journal.test_approvals import PLAN

DOCUMENT = json.loads(read_openapi())
OPEN_ROUTES = {"/", "/metrics", "/-/healthy", "/-/ready"}


@pytest.fixture
async def server(tmp_path):
    async with running(tmp_path) as made:
        yield made


async def call(server: Running, method: str, path: str, body: Any = None, headers: Any = RIGHT) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    async with server.session.request(method, server.url + path, data=data, headers=headers) as answer:
        return answer.status, await answer.json()


def check(schema: dict[str, Any], value: Any) -> None:
    """Holds a value to the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        check(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]], value)
        return
    if "anyOf" in schema:
        check(schema["anyOf"][1 if value is None else 0], value)
        return
    kinds = {"string": str, "number": int | float, "integer": int, "boolean": bool, "object": dict, "array": list}
    named = schema.get("type", [])
    names = named if isinstance(named, list) else [named]
    assert not names or any(value is None if name == "null" else isinstance(value, kinds[name]) for name in names)
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value)
        for name, part in schema.get("properties", {}).items():
            if name in value:
                check(part, value[name])
    if isinstance(value, list):
        for item in value:
            check(schema["items"], item)


def answer_schema(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    return found


async def held(server: Running, **data: Any) -> str:
    """A remediation that waits with a plan."""
    await server.post(GOOD)
    claim = await server.journal.claim("one", server.clock.now(), 10)
    assert claim is not None
    record = Record(NOW, "decision", State.HELD, data or {"proposal": proposal_data(PLAN)})
    change = StateChange(record, next_at=NOW + 1e6)
    await server.journal.advance(claim, State.CLAIMED, State.HELD, server.clock.now(), change)
    return claim.remediation.id


async def test_every_route_is_described_and_every_description_is_a_route(server: Running):
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in server.routes
        if route.method != "HEAD" and route.resource.canonical not in OPEN_ROUTES
    }
    assert served == described
    for path, methods in DOCUMENT["paths"].items():
        for method in methods.values():
            names = {item["name"] for item in method.get("parameters", ()) if item["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong-token-of-nobody"}])
async def test_every_described_route_needs_the_token(server: Running, headers):
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            assert (await call(server, method.upper(), path, {}, headers))[0] == 401


async def test_list_and_story_are_as_described(server: Running):
    name = await held(server)

    status, listed = await call(server, "GET", "/api/v1/remediations?open=true&limit=5")
    check(answer_schema("get", "/api/v1/remediations"), listed)
    assert (status, [item["id"] for item in listed["remediations"]]) == (200, [name])
    status, story = await call(server, "GET", f"/api/v1/remediations/{name}")
    check(answer_schema("get", "/api/v1/remediations/{id}"), story)
    assert (status, story["proposal"]["plan_hash"]) == (200, plan_hash(PLAN))


async def test_approval_is_stored_and_wakes_the_engine(server: Running):
    name = await held(server)
    server.woken.clear()

    body = {"by": "ceo@corp", "plan_hash": plan_hash(PLAN)}
    status, given = await call(server, "POST", f"/api/v1/remediations/{name}/approve", body)

    check(answer_schema("post", "/api/v1/remediations/{id}/approve"), given)
    assert (status, given["is_approved"], server.woken) == (200, True, [""])
    approval = await server.journal.approval(name)
    assert approval is not None
    assert approval.by.endswith("token (claimed ceo@corp)")
    (act,) = await server.journal.acts(10)
    assert (act.kind, act.subject, act.at) == (ActKind.APPROVE, name, server.clock.now())
    assert (act.actor.name.endswith("/token"), act.actor.claimed, act.actor.address) == (True, "ceo@corp", "127.0.0.1")
    assert (await call(server, "GET", "/api/v1/remediations"))[1]["remediations"][0]["answer"]["by"] == approval.by


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("approve", {"by": "ann"}, 400),
        ("approve", {"by": "ann", "plan_hash": "0" * 64}, 409),
        ("approve", {"by": "ann", "plan_hash": plan_hash(PLAN)[:12]}, 409),
        ("approve", {"by": "x" * 201, "plan_hash": plan_hash(PLAN)}, 400),
        ("approve", {"by": "ann", "plan_hash": plan_hash(PLAN), "who": 1}, 400),
        ("approve", [], 400),
        ("reject", {}, 200),
        ("reject", {"by": "ann"}, 200),
    ],
)
async def test_answer_needs_the_whole_hash_to_approve(server: Running, action, body, status):
    name = await held(server)

    assert (await call(server, "POST", f"/api/v1/remediations/{name}/{action}", body))[0] == status


async def test_unknown_remediation_is_404_and_a_bad_limit_400(server: Running):
    assert (await call(server, "GET", "/api/v1/remediations/nobody"))[0] == 404
    assert (await call(server, "POST", "/api/v1/remediations/nobody/reject", {"by": "ann"}))[0] == 404
    assert (await call(server, "GET", "/api/v1/remediations?limit=x"))[0] == 400
    assert (await call(server, "GET", "/api/v1/remediations?limit=1001"))[0] == 400


async def test_pause_is_set_listed_and_ended(server: Running):
    body = {"owner": "ann", "reason": "a migration", "seconds": 60}
    status, pause = await call(server, "PUT", "/api/v1/pauses/migration", body)
    check(answer_schema("put", "/api/v1/pauses/{name}"), pause)
    assert (status, pause["until"]) == (200, server.clock.now() + 60)

    _, listed = await call(server, "GET", "/api/v1/pauses")
    check(answer_schema("get", "/api/v1/pauses"), listed)
    assert [item["name"] for item in listed["pauses"]] == ["migration"]
    assert (await call(server, "DELETE", "/api/v1/pauses/migration"))[0] == 200
    assert (await call(server, "DELETE", "/api/v1/pauses/migration"))[0] == 404
    assert (await call(server, "GET", "/api/v1/pauses"))[1] == {"pauses": []}
    _, acts = await call(server, "GET", "/api/v1/acts")
    check(answer_schema("get", "/api/v1/acts"), acts)
    assert [(act["act"], act["subject"], act["claimed"]) for act in acts["acts"]] == [
        ("resume", "migration", ""),
        ("pause", "migration", "ann"),
    ]
    assert {act["source"] for act in acts["acts"]} == {"token"}


@pytest.mark.parametrize(
    ("name", "scope", "status"),
    [
        ("night", {"policy": "restart-api"}, 200),
        ("restart-api", {"policy": "restart-api"}, 200),
        ("night", {"target": "Deployment/control-core/control-plane-api"}, 200),
        ("restart-api", {}, 400),
        ("restart-apii", {}, 400),
        ("night", {"policy": "nobody"}, 400),
        ("night", {"target": "nothing"}, 400),
    ],
)
async def test_pause_stops_what_the_body_names(server: Running, name, scope, status):
    """A policy's name without a scope would stop everything, although the sender means the policy."""
    code, pause = await call(server, "PUT", f"/api/v1/pauses/{name}", {"reason": "r", **scope})

    assert code == status
    if status == 200:
        check(answer_schema("put", "/api/v1/pauses/{name}"), pause)
        assert (pause["policy"], pause["target"]) == (scope.get("policy", ""), scope.get("target", ""))
        again = await call(server, "PUT", f"/api/v1/pauses/{name}", {"reason": "r", "policy": "restart-api", **scope})
        assert again[0] == (409 if "target" in scope else 200)


async def attempted(server: Running) -> str:
    """A remediation that has sent a write, and is held now because of the breaker."""
    await server.post(GOOD)
    now = server.clock.now()
    claim = await server.journal.claim("one", now, 10)
    assert claim is not None
    plan = {"action": "restart_workload"}
    record = Record(now, "decision", State.HELD)
    for before, after, change in (
        (State.CLAIMED, State.PLANNED, StateChange(record, plan=plan)),
        (State.PLANNED, State.WRITING, StateChange(record, written_at=now, is_attempt=True)),
        (State.WRITING, State.CLAIMED, StateChange(record)),
        (State.CLAIMED, State.HELD, StateChange(record, reason="breaker_open", next_at=now + 1e6, releases=True)),
    ):
        await server.journal.advance(claim, before, after, now, change)
    return claim.remediation.id


async def test_breaker_is_reset_and_what_it_holds_is_due(server: Running):
    """M8: who did it is stored."""
    name = await attempted(server)
    target = "Deployment/control-core/control-plane-api"
    body = {"action": "restart_workload", "target": target, "by": "ann"}

    status, reset = await call(server, "POST", "/api/v1/breakers/reset", body)

    check(answer_schema("post", "/api/v1/breakers/reset"), reset)
    assert (status, reset["target"], reset["by"].endswith("(claimed ann)")) == (200, target, True)
    assert (await server.journal.story(name))[0].next_at == server.clock.now()
    assert [item.target for item in await server.journal.breaker_resets(0.0)] == [target]
    (act,) = await server.journal.acts(5)
    assert (act.kind, act.subject) == (ActKind.BREAKER_RESET, f"restart_workload {target}")


@pytest.mark.parametrize("changed", [{"target": "Deployment/control-core/other"}, {"action": "scale_workload"}])
async def test_breaker_of_what_was_never_tried_is_not_reset(server: Running, changed):
    await attempted(server)
    body = {"action": "restart_workload", "target": "Deployment/control-core/control-plane-api"} | changed

    status, answer = await call(server, "POST", "/api/v1/breakers/reset", body)

    assert (status, "restart_workload Deployment/control-core/control-plane-api" in answer["error"]) == (409, True)
    assert await server.journal.acts(5) == []


@pytest.mark.parametrize(
    "body", [{}, {"owner": "x"}, {"owner": "x", "reason": " "}, {"owner": "x" * 201, "reason": "y"}]
)
async def test_pause_without_a_reason_is_refused(server: Running, body):
    assert (await call(server, "PUT", "/api/v1/pauses/p", body))[0] == 400


async def test_document_is_served(server: Running):
    assert await call(server, "GET", "/api/v1/openapi.json") == (200, DOCUMENT)


HUGE = ("1" + "0" * 30, "1" + "0" * 400, "1" + "0" * 5000, "1e308", "1e999", "NaN", "-1" + "0" * 400)
ROUTES = (
    ("PUT", "/api/v1/pauses/x", '{"owner": "a", "reason": "b", "seconds": %s}'),
    ("POST", "/api/v1/remediations/%s/approve", '{"by": "a", "plan_hash": "b", "seconds": %s}'),
    ("POST", "/api/v1/plan", '{"payload": {"version": "4", "alerts": []}, "facts": {"condition": %s}}'),
    ("POST", "/api/v1/check-config", '{"policies": %s}'),
    ("POST", "/api/v1/breakers/reset", '{"action": "a", "target": %s}'),
)


@pytest.mark.parametrize("number", [*HUGE, "[" * 60_000, "[" * 65 + "]" * 65], ids=lambda text: text[:8])
@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[item[1] for item in ROUTES])
async def test_number_or_nesting_without_measure_is_the_callers_mistake(server: Running, method, path, body, number):
    """L9, S5: 400 (or 404: the remediation does not exist) and never 500, wherever the value is."""
    content = (body.replace("%s", number)).encode()
    url = server.url + path.replace("%s", "r1")
    async with server.session.request(method, url, data=content, headers=RIGHT) as answer:
        assert answer.status in {400, 404}, await answer.text()


@pytest.mark.parametrize("limit", ["1" * 30, "1" * 5000, "-1", "1e9", "NaN"])
async def test_limit_without_measure_is_the_callers_mistake(server: Running, limit):
    """L9."""
    status, _ = await call(server, "GET", f"/api/v1/remediations?limit={limit}")
    assert status == 400
