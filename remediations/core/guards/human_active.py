"""Nobody's work is interfered with."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=270, reasons=frozenset({HoldReason.HUMAN_ACTIVE, HoldReason.CHANGES_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while somebody else's change of the target is younger than the policy's quiet time.

    A workload that could not be read at all is held by `target`.
    """
    quiet = request.policy.human_quiet_seconds
    if quiet <= 0 or request.facts.workload.value is None:
        return PASSED
    changes = request.facts.changes
    if changes.value is None:
        return holds(HoldReason.CHANGES_UNKNOWN, changes.problem)
    young = [change for change in changes.value if change.at > request.now - quiet]
    if not young:
        return PASSED
    newest = max(young, key=lambda change: change.at)
    detail = f"{newest.who} changed {newest.what} {request.now - newest.at:.0f} s ago"
    return holds(HoldReason.HUMAN_ACTIVE, detail, newest.at + quiet)
