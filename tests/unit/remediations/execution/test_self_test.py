# ruff: noqa: ARG002 - the signatures are the port's
"""Whether forbidden changes are refused, and what follows for the policies in auto."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from chassis import log
from chassis.errors import BackendError, ConflictError, PermanentError, Reason, TransientError
from remediations.core.model.alert import Mode, Target
from remediations.core.model.facts import NO_ORCHESTRATOR
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.policies.policy import Policy, PolicySet, Query, Rung
from remediations.execution.self_test import (
    UNLISTED_NAME,
    VALID_SECONDS,
    ProofTiming,
    SelfTest,
    acting_targets,
    changes_of,
    downgrades,
    prove,
    prove_once,
)
from remediations.metrics import Telemetry
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, a_policy_set, restart_policy, scale_policy

REFUSED = PermanentError(Reason.PERMISSION, "HTTP status 403: forbidden")
NOT_FOUND = PermanentError(Reason.MISSING, "HTTP status 404: not found")
SILENT = TransientError(Reason.TIMEOUT, "nobody answered")
OPAL = Policy(
    "update-policies",
    "trigger_policy_update",
    (Target("opal", "OpalClient", "opal"),),
    Query("stale", ("opal",)),
    Query("fresh", ("opal",)),
    mode=Mode.AUTO,
)


@dataclass
class Server:
    """An API server that gives one answer to every path, with exceptions."""

    answer: BackendError | None = REFUSED
    others: dict[str, BackendError | None] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    dry: set[bool] = field(default_factory=set)
    bodies: dict[str, object] = field(default_factory=dict)

    async def patch(self, path, body, *, kind, field_manager, timeout_seconds, dry_run=False):
        self.dry.add(dry_run)
        self.bodies[path] = body
        return self._answer("patch", path)

    async def try_deletion(self, path, *, timeout_seconds):
        self._answer("delete", path)

    def _answer(self, verb: str, path: str):
        self.asked.append((verb, path))
        answer = self.others.get(path, self.answer)
        if answer is not None:
            raise answer
        return {}


@pytest.fixture
async def telemetry() -> Telemetry:
    return await asyncio.to_thread(Telemetry)


async def proved(server: Server, policy_set: PolicySet | None = None):
    return await prove(server, changes_of(policy_set or a_policy_set(), "control-core"), 1.0)


def a_test(server: Server | None, policies: Callable[[], PolicySet] = a_policy_set, **parts) -> SelfTest:
    return SelfTest(
        server, policies, parts.pop("clock", ManualClock()), parts.pop("seconds", 1.0), ProofTiming(**parts)
    )


async def a_round(test: SelfTest) -> None:
    """Returns when everything has been proved once more."""
    test._finished.clear()
    await test._finished.wait()


@asynccontextmanager
async def running(test: SelfTest, telemetry: Telemetry):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(test.run(telemetry))
        yield
        task.cancel()


async def test_every_refusal_together_is_the_proof():
    server = Server()
    assert (await proved(server)).value is True
    assert server.dry == {True}
    assert ("patch", f"/apis/apps/v1/namespaces/control-core/deployments/{UNLISTED_NAME}") in server.asked
    assert ("delete", "/apis/apps/v1/namespaces/control-core/deployments/control-plane-api") in server.asked
    assert ("patch", "/apis/apps/v1/namespaces/kube-system/deployments/control-plane-api") in server.asked
    assert len(server.asked) == 7


async def test_what_is_tried_is_the_least_that_actions_write():
    """An admission policy that refuses this refuses the object: it must allow the same form elsewhere."""
    server = Server()
    await proved(server)
    place = f"/apis/apps/v1/namespaces/control-core/deployments/{UNLISTED_NAME}"
    written = server.bodies[place]["metadata"]["annotations"]
    assert (list(server.bodies[place]), list(written)) == (["metadata"], [ANNOTATION_OPERATION])
    assert server.bodies[f"{place}/scale"] == {"spec": {"replicas": 1}}


@pytest.mark.parametrize("answer", [None, NOT_FOUND, ConflictError("409"), PermanentError(Reason.MALFORMED, "400")])
async def test_one_change_that_passes_the_check_of_rights_is_enough(answer):
    for change in changes_of(a_policy_set(), "control-core"):
        path = change.path
        fact = await proved(Server(others={path: answer}))
        assert fact.value is False, path
        assert "does not refuse" in fact.problem


async def test_what_was_let_through_is_named():
    server = Server(others={f"/api/v1/namespaces/control-core/pods/{UNLISTED_NAME}": NOT_FOUND})
    assert (await proved(server)).problem == "the API server does not refuse deletion of a pod"


@pytest.mark.parametrize(
    "answer",
    [
        SILENT,
        TransientError(Reason.OVERLOADED, "429"),
        TransientError(Reason.HTTP_5XX, "500"),
        PermanentError(Reason.AUTH, "401"),
        PermanentError(Reason.INTERNAL, "422: expression 'x' resulted in error"),
        PermanentError(Reason.TLS, "who is this"),
    ],
)
async def test_one_answer_that_is_missing_leaves_it_unknown(answer):
    server = Server(others={f"/api/v1/namespaces/control-core/pods/{UNLISTED_NAME}": answer})
    fact = await proved(server)
    assert fact.value is None
    assert "deletion of a pod" in fact.problem


async def test_too_wide_counts_although_another_answer_is_missing():
    fact = await proved(Server(answer=SILENT, others={f"/api/v1/namespaces/control-core/pods/{UNLISTED_NAME}": None}))
    assert fact.value is False


def test_namespace_in_which_policies_act_does_not_stand_for_the_others():
    here = Target("kube-system", "Deployment", "api")
    changes = changes_of(a_policy_set(restart_policy(targets=(here,))), "kube-system")
    assert "/apis/apps/v1/namespaces/kube-public/deployments/api" in {change.path for change in changes}


def test_only_what_acts_by_itself_in_kubernetes_is_tested():
    elsewhere = Target("edge", "Deployment", "bouncer")
    rung = Rung("restart_workload", {}, (elsewhere,))
    policies = (restart_policy(mode=Mode.APPROVE), scale_policy(mode=Mode.DRY_RUN), OPAL)
    assert acting_targets(a_policy_set(*policies)) == {}
    assert acting_targets(a_policy_set(replace(OPAL, ladder=(rung,)))) == {"edge": (elsewhere,)}


async def test_question_waits_for_the_first_answer(telemetry):
    test = a_test(Server())
    policy_set = a_policy_set()
    test._policies = lambda: policy_set
    async with running(test, telemetry):
        assert (await test.prove_limits(restart_policy(), policy_set, API)).value is True


async def test_question_before_anything_is_known_is_unknown_in_time():
    fact = await a_test(Server(), seconds=0.01).prove_limits(restart_policy(), a_policy_set(), API)
    assert (fact.value, fact.problem) == (None, "not answered within 0.01 s")


async def test_question_that_needs_no_proof_does_not_wait():
    test = a_test(None)
    assert (await test.prove_limits(restart_policy(mode=Mode.DRY_RUN), a_policy_set(), API)).problem == "not needed"
    assert (await test.prove_limits(restart_policy(), a_policy_set(), API)).problem == NO_ORCHESTRATOR
    assert (await test.prove_limits(OPAL, a_policy_set(), OPAL.targets[0])).problem == "not needed"


async def test_other_policies_need_a_proof_of_their_own(telemetry):
    """A reload may list another namespace or other objects: the old answers say nothing of them."""
    old, new = a_policy_set(), a_policy_set()
    current = [old]
    server = Server()
    test = a_test(server, lambda: current[0])
    async with running(test, telemetry):
        assert (await test.prove_limits(restart_policy(), old, API)).value is True
        current[0], server.answer = new, None
        assert (await test.prove_limits(restart_policy(), new, API)).value is False


async def test_it_is_repeated_in_its_rhythm(telemetry):
    policy_set = a_policy_set()
    server = Server()
    test = a_test(server, lambda: policy_set, repeat_seconds=0.01)
    async with running(test, telemetry):
        await test.prove_limits(restart_policy(), policy_set, API)
        server.answer = NOT_FOUND
        while (await test.prove_limits(restart_policy(), policy_set, API)).value is True:
            await a_round(test)


async def test_unknown_is_asked_again_soon(telemetry):
    policy_set = a_policy_set()
    server = Server(answer=SILENT)
    test = a_test(server, lambda: policy_set, retry_seconds=0.01)
    async with running(test, telemetry):
        assert (await test.prove_limits(restart_policy(), policy_set, API)).value is None
        server.answer = REFUSED
        while (await test.prove_limits(restart_policy(), policy_set, API)).value is None:
            await a_round(test)


async def test_silence_does_not_undo_a_proof_until_that_is_old(telemetry):
    policy_set, clock, server = a_policy_set(), ManualClock(), Server()
    test = a_test(server, lambda: policy_set, clock=clock)
    assert await test.prove_all(telemetry) is True
    server.answer = SILENT
    assert await test.prove_all(telemetry) is False
    assert (await test.prove_limits(restart_policy(), policy_set, API)).value is True
    clock.jump(VALID_SECONDS + 1)
    assert (await test.prove_limits(restart_policy(), policy_set, API)).value is None


@pytest.mark.parametrize(("answer", "shown"), [(REFUSED, 0.0), (NOT_FOUND, 1.0), (SILENT, None)])
async def test_metric_says_which_policies_ask_for_approval(telemetry, answer, shown):
    await a_test(Server(answer), lambda: a_policy_set(restart_policy(), OPAL)).prove_all(telemetry)
    name = "controlcore_remediation_policy_downgraded"
    assert telemetry.registry.get_sample_value(name, {"remediation": "restart-api"}) == shown
    assert telemetry.registry.get_sample_value(name, {"remediation": "update-policies"}) is None


async def test_policy_with_one_namespace_unlimited_is_downgraded():
    edge = Target("edge", "Deployment", "bouncer")
    policy_set = a_policy_set(restart_policy(targets=(API, edge)))
    proofs = {
        "control-core": await proved(Server(), policy_set),
        "edge": await prove(Server(None), changes_of(policy_set, "edge"), 1.0),
    }
    assert downgrades(policy_set, proofs) == {"restart-api": True}


async def test_change_of_the_answer_is_one_log_line(telemetry):
    stream = io.StringIO()
    log.configure(program="test", form="json", stream=stream)
    server = Server()
    test = a_test(server)
    for answer in (REFUSED, REFUSED, NOT_FOUND, NOT_FOUND, SILENT):
        server.answer = answer
        await test.prove_all(telemetry)
    lines = [line for line in stream.getvalue().splitlines() if "self_test." in line]
    assert ["passed" in lines[0], "failed" in lines[1], "unknown" in lines[2], len(lines)] == [True, True, True, 3]


async def test_command_proves_for_itself():
    found = [
        await prove_once(api, policy, a_policy_set(), API, 1.0)
        for api, policy in (
            (Server(), restart_policy()),
            (None, restart_policy()),
            (Server(), restart_policy(mode=Mode.APPROVE)),
        )
    ]
    assert [fact.value for fact in found] == [True, None, None]
