"""What a bouncer's answers to canary questions mean. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from chassis.config import Section
from chassis.errors import BackendError
from chassis.http import Response

ENGINE_FAILED = "OPA evaluation failed"
UNDEFINED = "No policy result (undefined)"


class ProbeResult(StrEnum):
    """What came of one question: the closed set of the label `result`."""

    ALLOW = "allow"
    DENY = "deny"
    UNDEFINED = "undefined"
    ENGINE_ERROR = "engine_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    MALFORMED = "malformed"


DECIDED = frozenset({ProbeResult.ALLOW, ProbeResult.DENY})
ENGINE_FAULTS = frozenset({ProbeResult.ENGINE_ERROR, ProbeResult.UNDEFINED, ProbeResult.TIMEOUT})


class Question(Section):
    """One question with its known answer."""

    user: str
    """The principal's id. Reserve it for this purpose, so that no real rule ever names it."""
    action: str = "read"
    """The action's name."""
    resource: str = "canary-resource"
    """The resource's id."""
    resource_type: str = "canary"
    """The resource's type, for policies that look at it."""
    expected: Literal["allow", "deny"]
    """The right answer."""

    def body(self) -> dict[str, Any]:
        """The request body of POST /api/v1/authorize."""
        resource = {"id": self.resource, "type": self.resource_type}
        return {"user": {"id": self.user}, "resource": resource, "action": {"name": self.action}, "context": {}}


@dataclass(frozen=True, slots=True)
class Answer:
    """One asked question. `seconds` None means that there is no duration to speak of (nothing was reached)."""

    question: Question
    result: ProbeResult
    seconds: float | None

    @property
    def is_mismatch(self) -> bool:
        """Whether a decision came, and the wrong one."""
        return self.result in DECIDED and self.result != self.question.expected

    @property
    def is_expected(self) -> bool:
        """Whether the right decision came."""
        return self.result == self.question.expected


@dataclass(frozen=True, slots=True)
class Finding:
    """What one round learned of one bouncer."""

    is_up: bool
    answers: tuple[Answer, ...]

    @property
    def is_engine_up(self) -> bool | None:
        """Whether the engine decides; None when it could not be asked.

        A timeout speaks against the engine only when /health was answered: else it is the bouncer that hangs.
        """
        results = {answer.result for answer in self.answers}
        if results & (ENGINE_FAULTS if self.is_up else ENGINE_FAULTS - {ProbeResult.TIMEOUT}):
            return False
        return True if results and results <= DECIDED else None


def read_answer(response: Response) -> ProbeResult:
    """What an answer of POST /api/v1/authorize means: `allow`, else the beginning of `reason`."""
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


def are_engines_up(findings: Iterable[Finding]) -> bool | None:
    """Whether all policy engines decide: False when any does not, None when that of any is unknown."""
    states = [finding.is_engine_up for finding in findings]
    if False in states:
        return False
    return True if states and None not in states else None


def percentile_95(seconds: Iterable[float]) -> float | None:
    """The smallest value that at least 95 % of the values do not exceed (nearest rank); None of no values."""
    ordered = sorted(seconds)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None
