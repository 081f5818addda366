"""A fault that began with a change is undone by whoever made the change, not restarted away."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.time_windows import parse_clock

SKEW_SECONDS = 60.0
"""The clocks of Prometheus and of the API server may differ by so much."""


@guard(order=280, reasons=frozenset({HoldReason.RECENT_CHANGE, HoldReason.CHANGES_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when the alert began soon after somebody else's change of the target, and names the change.

    The alert's own startsAt counts if it is earlier than our hearing of it: it may lie, but only towards holding or
    towards the time at which we heard. A workload that could not be read at all is held by `target`.
    """
    reach = request.policy.change_quiet_seconds
    if reach <= 0 or request.facts.workload.value is None:
        return PASSED
    changes = request.facts.changes
    if changes.value is None:
        return holds(HoldReason.CHANGES_UNKNOWN, changes.problem)
    heard = request.remediation.created_at
    began = min(heard, parse_clock(request.remediation.alert.starts_at) or heard)
    for change in sorted(changes.value, key=lambda item: item.at, reverse=True):
        if -SKEW_SECONDS <= began - change.at <= reach:
            detail = f"began {began - change.at:.0f} s after {change.who} changed {change.what}"
            return holds(HoldReason.RECENT_CHANGE, detail)
    return PASSED
