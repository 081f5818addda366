"""Only objects that the policy lists are touched."""

from __future__ import annotations

from remediations.decision import GuardOutcome
from remediations.guards import PASSED, GuardInput, guard, holds
from remediations.reasons import HoldReason


@guard(order=300, reasons=frozenset({HoldReason.NOT_ALLOWED}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when the target is none of the policy's, or of a kind that the action cannot act on."""
    target = request.remediation.target
    if target not in request.policy.targets:
        allowed = ", ".join(item.key for item in request.policy.targets)
        return holds(HoldReason.NOT_ALLOWED, f"the alert points at {target.key!r}; the policy allows {allowed}")
    if target.kind not in request.action.kinds:
        return holds(HoldReason.NOT_ALLOWED, f"{request.action.name} does not act on a {target.kind}")
    return PASSED
