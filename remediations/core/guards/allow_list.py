"""Only objects that the policy lists are touched."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=300, reasons=frozenset({HoldReason.NOT_ALLOWED, HoldReason.OTHER_RUNG}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when the target is none of the policy's, or of a kind that the action cannot act on.

    A target that another rung of the ladder acts on is not what is due: that rung has a remediation of its own.
    """
    target = request.remediation.target
    if target not in request.policy.targets:
        allowed = ", ".join(item.key for item in request.policy.targets)
        whole = request.policy_set.named(request.policy.name)
        if whole is not None and whole.lists(target):
            return holds(HoldReason.OTHER_RUNG, f"the rung of the ladder that is due acts on {allowed}")
        return holds(HoldReason.NOT_ALLOWED, f"the alert points at {target.key!r}; the policy allows {allowed}")
    if target.kind not in request.action.kinds:
        return holds(HoldReason.NOT_ALLOWED, f"{request.action.name} does not act on a {target.kind}")
    return PASSED
