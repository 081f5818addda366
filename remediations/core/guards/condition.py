"""The policy's own condition must hold now; the alert is only a hint."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.guards.dependency import find_down
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(
    order=400, reasons=frozenset({HoldReason.CONDITION_UNKNOWN, HoldReason.DEPENDENCY_DOWN, HoldReason.LOAD_TOO_HIGH})
)
def check(request: GuardInput) -> GuardOutcome:
    """Settles the remediation when the condition is gone, and holds when nobody knows.

    For what lets pods go the condition is that the load fits fewer: false is a Hold then, since it may fit later.

    An unknown condition beside a dependency that is down has that dependency as its reason: probes that would answer
    the condition are suspended or stuck while it is down, and a person is helped by the root, not by the symptom.
    """
    condition = request.facts.condition
    if condition.value is False and request.has(Effect.REMOVES_PODS):
        return holds(HoldReason.LOAD_TOO_HIGH, f"the load does not fit: {condition.source} is false")
    if condition.value is False:
        return GuardOutcome("", detail=f"the condition is gone: {condition.source}", is_settled=True)
    if condition.value is True:
        return PASSED
    down = find_down(request)
    if down:
        return holds(HoldReason.DEPENDENCY_DOWN, f"{', '.join(down)} down (condition unknown: {condition.problem})")
    return holds(HoldReason.CONDITION_UNKNOWN, condition.problem or "nobody answered")
