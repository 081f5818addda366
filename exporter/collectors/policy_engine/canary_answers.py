"""Interprets a bouncer's answers to canary questions. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from chassis.config import Section
from chassis.errors import BackendError
from chassis.http.call import Response

ENGINE_FAILED = "OPA evaluation failed"
UNDEFINED = "No policy result (undefined)"


class ProbeResult(StrEnum):
    """The result of one question: the closed set of the label `result`."""

    ALLOW = "allow"
    DENY = "deny"
    UNDEFINED = "undefined"
    """The engine has no result, and had one before: it lost its policies."""
    NO_POLICY = "no_policy"
    """The same, but the engine has never decided anything, as in an installation without policies."""
    ENGINE_ERROR = "engine_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"


DECIDED = frozenset({ProbeResult.ALLOW, ProbeResult.DENY})
ENGINE_FAULTS = frozenset({ProbeResult.ENGINE_ERROR, ProbeResult.UNDEFINED, ProbeResult.TIMEOUT})


class CanaryQuestion(Section):
    """One question with its known answer."""

    user: str
    """The principal's id. Reserve it for the canary, so that no real rule names it."""
    action: str = "read"
    """The action's name."""
    resource: str = "canary-resource"
    """The resource's id."""
    resource_type: str = "canary"
    """The resource's type, for policies that use it."""
    expected: Literal["allow", "deny", "calibrated"]
    """The right answer. `allow` needs a rule in the product's policies that allows it. `calibrated` needs none: any
    decision is right until this exporter has seen the question allowed, and from then on it must be allowed."""

    def body(self) -> dict[str, Any]:
        """The request body of POST /api/v1/authorize."""
        resource = {"id": self.resource, "type": self.resource_type}
        return {"user": {"id": self.user}, "resource": resource, "action": {"name": self.action}, "context": {}}


@dataclass(frozen=True, slots=True)
class CanaryAnswer:
    """One question that was sent. `seconds` None means that there is no duration (nothing was reached)."""

    question: CanaryQuestion
    result: ProbeResult
    seconds: float | None

    @property
    def is_mismatch(self) -> bool:
        """Whether the answer was a wrong decision."""
        return self.result in DECIDED and not self.is_expected

    @property
    def is_expected(self) -> bool:
        """Whether the answer was the right decision; any decision is right while the question is not calibrated."""
        if self.question.expected == "calibrated":
            return self.result in DECIDED
        return self.result == self.question.expected


@dataclass(frozen=True, slots=True)
class CanaryFinding:
    """The result of one round for one bouncer."""

    is_up: bool
    answers: tuple[CanaryAnswer, ...]

    @property
    def is_success(self) -> bool | None:
        """Whether every answer was as expected; None while the engine has no policy to answer from."""
        if any(answer.result is ProbeResult.NO_POLICY for answer in self.answers):
            return None
        return all(answer.is_expected for answer in self.answers)

    @property
    def is_engine_up(self) -> bool | None:
        """Whether the engine decides; None when it could not be queried.

        A timeout counts against the engine only when /health was answered; otherwise the bouncer hangs.
        """
        results = {answer.result for answer in self.answers}
        if results & (ENGINE_FAULTS if self.is_up else ENGINE_FAULTS - {ProbeResult.TIMEOUT}):
            return False
        return True if results and results <= DECIDED else None


@dataclass(slots=True)
class Calibration:
    """What one bouncer's earlier answers show about the expected ones."""

    has_decided: bool = False
    """Whether its engine ever decided a question; afterwards an undefined result is a fault."""
    allowed: set[CanaryQuestion] = field(default_factory=set)
    """Calibrated questions that were allowed at least once."""

    def judge(self, finding: CanaryFinding) -> CanaryFinding:
        """The finding with what is expected now; learns from it.

        An allowed question is learned only in a round without any error, so that an engine that allows everything does
        not become the reference.
        """
        judged = CanaryFinding(finding.is_up, tuple(self._judge(answer) for answer in finding.answers))
        results = {answer.result for answer in judged.answers}
        self.has_decided = self.has_decided or bool(results & DECIDED)
        if not any(answer.is_mismatch for answer in judged.answers):
            self.allowed |= {
                answer.question
                for answer in judged.answers
                if answer.question.expected == "calibrated" and answer.result is ProbeResult.ALLOW
            }
        return judged

    def _judge(self, answer: CanaryAnswer) -> CanaryAnswer:
        """One answer with its expected result."""
        if answer.result is ProbeResult.UNDEFINED and not self.has_decided:
            answer = replace(answer, result=ProbeResult.NO_POLICY)
        if answer.question in self.allowed:
            answer = replace(answer, question=answer.question.model_copy(update={"expected": "allow"}))
        return answer


def read_answer(response: Response) -> ProbeResult:
    """The result in an answer of POST /api/v1/authorize: `allow`, else the beginning of `reason`."""
    try:
        body = response.require_ok().json()
    except BackendError:
        return ProbeResult.MALFORMED
    if not isinstance(body, dict) or not isinstance(body.get("allow"), bool):
        return ProbeResult.MALFORMED
    if body["allow"]:
        return ProbeResult.ALLOW
    reason = str(body.get("reason", ""))
    if reason.startswith(ENGINE_FAILED):
        return ProbeResult.ENGINE_ERROR
    return ProbeResult.UNDEFINED if reason.startswith(UNDEFINED) else ProbeResult.DENY


def are_engines_up(findings: Iterable[CanaryFinding]) -> bool | None:
    """Whether all policy engines decide: False if any does not, None if any is unknown."""
    states = [finding.is_engine_up for finding in findings]
    if False in states:
        return False
    return True if states and None not in states else None


def percentile_95(seconds: Iterable[float]) -> float | None:
    """The smallest value that at least 95 % of the values do not exceed (nearest rank); None of no values."""
    ordered = sorted(seconds)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None
