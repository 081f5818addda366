"""The bouncer's answers: the built-in policy, and the reason that distinguishes a denial from a broken engine."""

from __future__ import annotations

import pytest

from tools.standin.faults.switches import Fault, FaultBox, Kind
from tools.standin.policy.engine import (
    BuiltInEngine,
    Decision,
    EngineFailedError,
    Question,
    decide,
    parse_question,
    read_result,
)

CANARY = Question("canary-allow", "canary-resource", "read")


class FailingEngine:
    async def evaluate(self, question: Question) -> bool | None:  # noqa: ARG002 (the port names it)
        raise EngineFailedError("connection refused")


class UndefinedEngine:
    async def evaluate(self, question: Question) -> bool | None:  # noqa: ARG002 (the port names it)
        return None


@pytest.mark.parametrize(
    ("question", "is_allowed"),
    [
        (CANARY, True),
        (Question("canary-deny", "canary-resource", "read"), False),
        (Question("canary-allow", "canary-resource", "write"), False),
        (Question("canary-allow", "orders", "read"), False),
    ],
)
async def test_built_in_policy_allows_the_canary_alone(question: Question, is_allowed: bool) -> None:  # noqa: FBT001
    reason = "Access granted by OPA policy" if is_allowed else "Access denied by OPA policy"
    decision = await decide(BuiltInEngine(), FaultBox("b"), question)
    assert decision == Decision(is_allowed, reason)


async def test_failing_engine_denies_with_its_failure_as_reason() -> None:
    decision = await decide(FailingEngine(), FaultBox("b"), CANARY)
    assert decision == Decision(allow=False, reason="OPA evaluation failed: connection refused")


async def test_undefined_result_denies_by_default() -> None:
    decision = await decide(UndefinedEngine(), FaultBox("b"), CANARY)
    assert decision == Decision(allow=False, reason="No policy result (undefined) - default deny")


@pytest.mark.parametrize(
    ("kind", "beginning"),
    [
        ("engine_error", "OPA evaluation failed: "),
        ("undefined", "No policy result (undefined) - default deny"),
        ("wrong_answer", "Access denied by OPA policy"),
    ],
)
async def test_fault_denies_the_canary_with_its_own_reason(kind: Kind, beginning: str) -> None:
    box = FaultBox("b")
    box.switch_on(Fault(kind))
    decision = await decide(BuiltInEngine(), box, CANARY)
    assert not decision.allow
    assert decision.reason.startswith(beginning)


async def test_wrong_answer_allows_what_the_policy_denies() -> None:
    box = FaultBox("b")
    box.switch_on(Fault("wrong_answer"))
    decision = await decide(BuiltInEngine(), box, Question("canary-deny", "canary-resource", "read"))
    assert decision == Decision(allow=True, reason="Access granted by OPA policy")


@pytest.mark.parametrize("body", [None, [], {}, {"user": "ada"}, {"user": {"id": 1}, "resource": {"id": 2}}])
def test_malformed_question_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match=r"no user\.id"):
        parse_question(body)


@pytest.mark.parametrize(
    ("result", "allow"),
    [
        (True, True),
        (None, None),
        ({"allow": True}, True),
        ({}, False),
        ({"second": {"allow": True}}, False),
        ({"allow": True, "main": {"allow": False}}, False),
        ({"allow": False, "main": {"allow": True}}, True),
        ({"allow": True, "main": {}}, False),
    ],
)
def test_package_main_decides_where_there_is_one(result: object, allow: bool | None) -> None:  # noqa: FBT001
    """As observed of the product's bouncer (services/opa_client.go, parseOPAResult)."""
    assert read_result(result) is allow
