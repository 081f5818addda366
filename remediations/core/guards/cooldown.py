"""The last repair of the same object gets time to work."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=700, reasons=frozenset({HoldReason.COOLDOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while this policy's last write to the same target is younger than the cooldown.

    Writes of this very remediation do not count: they are known to have had no effect. Its `retry_seconds` lie between
    them, and `budget` bounds how often they are tried.
    """
    policy, remediation = request.policy, request.remediation
    written = [
        item.written_at
        for item in request.history.actions
        if item.policy == policy.name and item.target == remediation.target and item.remediation != remediation.id
    ]
    until = max(written, default=float("-inf")) + policy.cooldown_seconds
    if request.now >= until:
        return PASSED
    return holds(HoldReason.COOLDOWN, f"written {request.now - max(written):.0f} s ago", until)
