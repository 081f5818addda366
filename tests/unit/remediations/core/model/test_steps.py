"""Steps other than a patch: sent once, checked by their mark if they leave one, and continued after a crash."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from chassis.errors import PermanentError, Reason, TransientError
from chassis.http.client import HttpClient
from chassis.http.server import serving
from remediations.core.model.errors import FenceLostError
from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import CreateStep, GateStep, HttpStep, PatchStep, Plan, SendResult, SqlStep, Step
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import Record, State
from remediations.core.model.stored import describe_difference, plan_from_data, plan_hash, plan_to_data
from remediations.core.policies.policy import Query
from remediations.engine.step_progress import read_progress
from remediations.execution.executor import Executor, Tools
from remediations.execution.senders import Key, origin_of
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, NOW
from tests.fakes.kubernetes import NAME, PODS, FakeCluster, a_cluster

POD = f"{PODS}/{NAME}-1"
JOBS = "/apis/batch/v1/namespaces/control-core/jobs"
EVICT = CreateStep(
    f"{POD}/eviction",
    {"metadata": {"name": f"{NAME}-1"}, "deleteOptions": {"preconditions": {"uid": "uid-pod-1"}}},
    POD,
    gone_uid="uid-pod-1",
)
JOB = CreateStep(
    JOBS,
    {"metadata": {"name": "backup-op-1", "annotations": {ANNOTATION_OPERATION: "op-1"}}},
    f"{JOBS}/backup-op-1",
    {ANNOTATION_OPERATION: "op-1"},
)
GATE = GateStep("canary", ("bouncers",), 60.0, 120.0)
SQL = SqlStep("SELECT * FROM end_them($1, $2)", (600.0, 5))


def a_plan(*steps: Step) -> Plan:
    return Plan("any", API, "op-1", "does something", steps, {}, {"effect": "called"})


@dataclass
class Memory:
    """Progress of one remediation, which outlives a process."""

    clock: ManualClock
    begun: dict[int, float] = field(default_factory=dict)

    def begun_at(self, index: int) -> float | None:
        return self.begun.get(index)

    async def begin(self, index: int) -> float:
        self.begun[index] = self.clock.now()
        return self.clock.now() + 10.0

    async def take_back(self, index: int, why: str) -> None:
        assert why
        del self.begun[index]


@dataclass
class Product:
    """A server with a path for each behaviour; remembers the calls."""

    url: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append((request.method, request.path, request.headers.get("Authorization", "")))
        if request.path == "/elsewhere":
            raise web.HTTPTemporaryRedirect("/stolen")
        return web.json_response({}, status=int(request.path.strip("/") or 200))


@dataclass
class FakeSession:
    answer: Any = ((1,), (2,))
    calls: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Any:
        assert timeout_seconds > 0
        self.calls.append((sql, arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class Bench:
    clock: ManualClock
    cluster: FakeCluster
    product: Product
    session: FakeSession
    memory: Memory
    canary: Fact[bool]
    executor: Executor

    async def write(self, *steps: Step) -> Any:
        return await self.executor.write(a_plan(*steps), self.clock.now() + 10.0, self.memory)

    async def resume(self, *steps: Step) -> Any:
        return await self.executor.check_outcome(a_plan(*steps), self.memory, self.clock.now() + 10.0)


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Bench]:
    clock, product, session = ManualClock(NOW), Product(), FakeSession()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", product.answer)
    key = tmp_path / "key"
    key.write_text("bouncer-key\n")
    async with serving(app, "127.0.0.1", 0) as (host, port), HttpClient.opened() as http:
        product.url = f"http://{host}:{port}"
        made = Bench(clock, a_cluster(), product, session, Memory(clock), Fact(None, "canary", "no sample"), None)  # type: ignore[arg-type]

        async def ask(_query: Query) -> Fact[bool]:
            return made.canary

        tools = Tools(http, {origin_of(product.url): Key(key)}, session, ask)
        made.executor = Executor(made.cluster, clock, 3.0, tools)
        yield made


@pytest.mark.parametrize("step", [EVICT, JOB, HttpStep("POST", "http://opal:7000/x"), SQL, GATE], ids=str)
def test_step_is_the_same_after_json(step):
    plan = a_plan(step)
    assert plan_from_data(json.loads(json.dumps(plan_to_data(plan))), "0001") == plan
    assert describe_difference(plan).splitlines()[0] == "does something"


def test_hash_of_every_kind_of_step_is_that_of_commit_c65e67b():
    plan = a_plan(EVICT, JOB, GATE, SQL, HttpStep("POST", "http://x"))
    assert plan_hash(plan) == "4e58fdf684432f8a0e2e939b0c83b77d4f838ba66ce647183b8e939472de0d73"


def test_plan_that_was_stored_before_there_were_other_kinds_is_read():
    stored = {"path": "/p", "patch": "merge", "body": {"spec": {"x": 1}}, "done_if": {"a": "b"}}
    data = plan_to_data(a_plan()) | {"steps": [stored]}
    assert plan_from_data(data, "0001").steps == (PatchStep("/p", "merge", {"spec": {"x": 1}}, {"a": "b"}),)
    assert plan_to_data(plan_from_data(data, "0001"))["steps"] == [stored]


async def test_eviction_names_the_pod_that_was_judged_and_removes_it_once(bench):
    assert (await bench.write(EVICT)).result is SendResult.DONE
    assert (await bench.write(EVICT)).result is SendResult.ALREADY_DONE
    assert (POD in bench.cluster.objects, len(bench.cluster.stored)) == (False, 1)


async def test_eviction_that_a_budget_refuses_is_held_and_nothing_else_is_tried(bench):
    bench.cluster.evictions_allowed = 0
    sent = await bench.write(EVICT)
    assert (sent.result, sent.hold) == (SendResult.HELD, HoldReason.DISRUPTION_BUDGET)
    assert bench.cluster.calls == [("create", f"{POD}/eviction")]


async def test_eviction_of_a_pod_whose_name_was_taken_over_is_done_and_spares_the_new_one(bench):
    bench.cluster.objects[POD]["metadata"]["uid"] = "uid-of-the-next"
    assert (await bench.write(EVICT)).result is SendResult.ALREADY_DONE
    assert POD in bench.cluster.objects


async def test_interrupted_eviction_is_looked_up(bench):
    assert (await bench.resume(EVICT)).result is SendResult.CHANGED
    bench.cluster.objects[POD]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await bench.resume(EVICT)).result is SendResult.ALREADY_DONE


async def test_job_of_this_operation_is_made_once(bench):
    assert (await bench.write(JOB)).result is SendResult.DONE
    assert (await bench.write(JOB)).result is SendResult.ALREADY_DONE
    assert (await bench.resume(JOB)).result is SendResult.ALREADY_DONE


async def test_job_of_the_same_name_by_somebody_else_is_not_taken_for_ours(bench):
    bench.cluster.objects[JOB.look_path] = {"metadata": {"name": "backup-op-1"}}
    assert (await bench.write(JOB)).result is SendResult.CHANGED


async def test_dry_run_makes_nothing_and_calls_nobody(bench):
    plan = a_plan(EVICT, JOB, HttpStep("POST", f"{bench.product.url}/200"), SQL, GATE)
    assert (await bench.executor.dry_run(plan)).result is SendResult.DONE
    assert (bench.cluster.stored, bench.product.calls, bench.session.calls) == ([], [], [])


async def test_call_carries_the_key_of_its_origin_and_is_sent_once(bench):
    step = HttpStep("POST", f"{bench.product.url}/200")
    assert (await bench.write(step)).result is SendResult.DONE
    assert (await bench.write(step)).result is SendResult.ALREADY_DONE
    assert bench.product.calls == [("POST", "/200", "Bearer bouncer-key")]


async def test_key_of_another_origin_is_not_sent(bench, tmp_path):
    bench.executor._tools.keys.clear()  # type: ignore[attr-defined]
    await bench.write(HttpStep("POST", f"{bench.product.url}/200"))
    assert bench.product.calls == [("POST", "/200", "")]


async def test_redirect_is_refused_and_not_followed(bench):
    sent = await bench.write(HttpStep("POST", f"{bench.product.url}/elsewhere"))
    assert (sent.result, len(bench.product.calls)) == (SendResult.REFUSED, 1)


@pytest.mark.parametrize(
    ("status", "result"), [(404, SendResult.REFUSED), (401, SendResult.REFUSED), (503, SendResult.UNKNOWN)]
)
async def test_answer_decides_what_is_known_of_a_call(bench, status, result):
    assert (await bench.write(HttpStep("POST", f"{bench.product.url}/{status}"))).result is result
    assert (0 in bench.memory.begun) is (result is SendResult.UNKNOWN)


async def test_call_that_never_reached_a_server_may_be_made_again(bench):
    sent = await bench.write(HttpStep("POST", "http://127.0.0.1:9/"))
    assert (sent.result, bench.memory.begun) == (SendResult.REFUSED, {})


async def test_call_whose_answer_was_lost_is_not_repeated_and_the_plan_goes_on(bench):
    """The process died between the journal's line and the answer: the result is unknown, so the next step follows."""
    bench.memory.begun = {0: NOW}
    steps = (HttpStep("POST", f"{bench.product.url}/200"), HttpStep("POST", f"{bench.product.url}/201"))
    assert (await bench.resume(*steps)).result is SendResult.DONE
    assert [path for _, path, _ in bench.product.calls] == ["/201"]


async def test_plan_of_which_no_step_had_begun_is_decided_anew(bench):
    sent = await bench.resume(HttpStep("POST", f"{bench.product.url}/200"))
    assert (sent.result, bench.product.calls) == (SendResult.CHANGED, [])


async def test_refusal_after_a_step_that_was_sent_leads_to_verification_not_to_a_second_sending(bench):
    sent = await bench.write(*(HttpStep("POST", f"{bench.product.url}/{status}") for status in (200, 404)))
    assert sent.result is SendResult.DONE
    assert "step 2 of 2 was not accepted" in sent.detail


async def test_step_without_a_mark_is_not_sent_when_its_beginning_cannot_be_kept(bench):
    sent = await bench.executor.write(a_plan(SQL), bench.clock.now() + 10)
    assert (sent.result, bench.session.calls) == (SendResult.REFUSED, [])


async def test_statement_goes_out_with_its_arguments_and_the_rows_are_counted(bench):
    sent = await bench.write(SQL)
    assert (sent.result, sent.detail) == (SendResult.DONE, "2 rows")
    assert bench.session.calls == [(SQL.statement, (600.0, 5))]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (PermanentError(Reason.PERMISSION, "42501"), SendResult.REFUSED),
        (TransientError(Reason.TIMEOUT, "57014"), SendResult.UNKNOWN),
    ],
)
async def test_statement_that_fails_is_refused_or_unknown(bench, error, result):
    bench.session.answer = error
    assert (await bench.write(SQL)).result is result


async def test_lease_that_could_end_during_the_call_forbids_it(bench):
    async def begin(_index: int) -> float:
        return bench.clock.now() + 2.0

    bench.memory.begin = begin
    with pytest.raises(FenceLostError):
        await bench.write(HttpStep("POST", f"{bench.product.url}/200"))
    assert bench.product.calls == []


async def test_rest_waits_for_the_check_and_goes_out_when_it_is_true_of_data_after_the_first_step(bench):
    steps = (HttpStep("POST", f"{bench.product.url}/200"), GATE, HttpStep("POST", f"{bench.product.url}/201"))
    bench.canary = Fact(True, "canary", "", NOW)
    assert (await bench.write(*steps)).result is SendResult.WAITING
    await bench.clock.advance(5)
    bench.canary = Fact(False, "canary", "", NOW + 4)
    assert (await bench.resume(*steps)).result is SendResult.WAITING
    bench.canary = Fact(True, "canary", "", NOW + 5)
    assert (await bench.resume(*steps)).result is SendResult.DONE
    assert [path for _, path, _ in bench.product.calls] == ["/200", "/201"]


async def test_check_that_does_not_come_true_in_time_stops_the_plan(bench):
    steps = (HttpStep("POST", f"{bench.product.url}/200"), GATE, HttpStep("POST", f"{bench.product.url}/201"))
    await bench.write(*steps)
    await bench.clock.advance(121)
    assert (await bench.resume(*steps)).result is SendResult.STOPPED
    assert len(bench.product.calls) == 1


def test_progress_belongs_to_the_plan_that_was_intended_last():
    def record(kind: str, **data: Any) -> Record:
        return Record(NOW, kind, State.WRITING, data)

    first = [record("intent"), record("step", index=0, phase="begun", at=1.0)]
    assert read_progress(first) == {0: 1.0}
    assert read_progress([*first, record("step", index=0, phase="not_sent", detail="refused")]) == {}
    assert read_progress([*first, record("intent")]) == {}
