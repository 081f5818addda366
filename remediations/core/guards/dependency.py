"""A symptom is not treated while its root cause is known."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason


@guard(order=500, reasons=frozenset({HoldReason.DEPENDENCY_DOWN, HoldReason.DEPENDENCY_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while a dependency of the policy is down, or while nobody knows whether it is up."""
    down = find_down(request)
    if down:
        return holds(HoldReason.DEPENDENCY_DOWN, f"{', '.join(down)} down")
    unknown = [
        f"{name}: {_state(request, name).problem}" for name in _names(request) if not _state(request, name).value
    ]
    if unknown:
        return holds(HoldReason.DEPENDENCY_UNKNOWN, "; ".join(unknown))
    return PASSED


def find_down(request: GuardInput) -> tuple[str, ...]:
    """Names of the policy's dependencies that are known to be down."""
    return tuple(name for name in _names(request) if _state(request, name).value is False)


def _names(request: GuardInput) -> tuple[str, ...]:
    """What the policy depends on."""
    return request.policy.dependencies


def _state(request: GuardInput, name: str) -> Fact[bool]:
    """Whether a dependency is up; one that was not asked is unknown."""
    return request.facts.dependencies.get(name, Fact(None, "", "not asked"))
