"""When nothing on the ladder has helped, a person is needed."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.ladder import rung_number


@guard(order=580, reasons=frozenset({HoldReason.LADDER_EXHAUSTED}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while every rung of the policy's ladder has been proven to have failed; a policy without one passes."""
    policy, reset_seconds = request.policy, request.policy_set.breaker.close_seconds
    if not policy.ladder:
        return PASSED
    failed = rung_number(policy, request.history, request.remediation, request.now, reset_seconds)
    if failed <= len(policy.ladder):
        return PASSED
    return holds(HoldReason.LADDER_EXHAUSTED, f"all {1 + len(policy.ladder)} rungs have failed: a person is needed")
