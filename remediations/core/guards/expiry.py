"""A remediation that could not act in time is not done late."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=150, reasons=frozenset({HoldReason.EXPIRED}))
def check(request: GuardInput) -> GuardOutcome:
    """Expires what is older than the policy allows; it asks before every guard that could hold for ever.

    A fault that is still there sends its alert again, and that begins a new remediation with a fresh decision.
    """
    age = request.now - request.remediation.created_at
    if age < request.policy.expires_seconds:
        return PASSED
    return holds(
        HoldReason.EXPIRED, f"not acted on for {age:.0f} s; the policy allows {request.policy.expires_seconds:g} s"
    )
