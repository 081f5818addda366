"""Nothing is done while people have agreed that nothing changes."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=220, reasons=frozenset({HoldReason.FREEZE_WINDOW, HoldReason.OUTSIDE_SCHEDULE}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds inside a freeze window of the file or of the policy, and outside the policy's schedule if it has one."""
    for window in (*request.policy_set.freeze, *request.policy.freeze):
        end = window.end_if_open(request.now)
        if end is not None:
            return holds(HoldReason.FREEZE_WINDOW, f"{window.name} ({window.zone.key})", end)
    schedule = request.policy.schedule
    if schedule and all(window.end_if_open(request.now) is None for window in schedule):
        return holds(HoldReason.OUTSIDE_SCHEDULE, f"acts only within {', '.join(window.name for window in schedule)}")
    return PASSED
