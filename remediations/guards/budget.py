"""Repairs that do not help are not repeated without end."""

from __future__ import annotations

from remediations.guards import PASSED, GuardInput, guard, holds
from remediations.model import GuardOutcome, HoldReason, PastAction


@guard(order=600, reasons=frozenset({HoldReason.BUDGET_SPENT}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when this policy, all policies together, or this one remediation have written as often as is allowed."""
    policy, whole = request.policy, request.policy_set
    if request.history.attempts >= policy.budget_actions:
        return holds(HoldReason.BUDGET_SPENT, f"this remediation has tried to write {request.history.attempts} times")
    others = [item for item in request.history.actions if item.remediation != request.remediation.id]
    own = [item for item in others if item.policy == policy.name]
    return (
        _judge(own, policy.budget_actions, policy.budget_seconds, request.now)
        or _judge(others, whole.max_actions, whole.max_actions_seconds, request.now)
        or PASSED
    )


def _judge(actions: list[PastAction], most: int, seconds: float, now: float) -> GuardOutcome | None:
    """The Hold when `most` of these writes are younger than `seconds`; it ends when enough of them are not."""
    young = sorted(item.written_at for item in actions if item.written_at > now - seconds)
    if len(young) < most:
        return None
    detail = f"{len(young)} writes in the last {seconds:g} s, {most} allowed"
    return holds(HoldReason.BUDGET_SPENT, detail, young[len(young) - most] + seconds)
