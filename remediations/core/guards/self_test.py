"""Nothing acts by itself with rights of which nobody knows that they end where the policies end."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.alert import Mode
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=1450, reasons=frozenset({HoldReason.SELF_TEST_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds a policy in auto until the API server has refused a forbidden change; HTTP and SQL need no such proof."""
    if not is_tested(request):
        return PASSED
    proof = request.facts.self_test
    if proof.value is None:
        return holds(HoldReason.SELF_TEST_UNKNOWN, f"nobody knows whether the rights are limited: {proof.problem}")
    return PASSED if proof.value else GuardOutcome("", detail=f"asks for approval: {proof.problem}")


def is_tested(request: GuardInput) -> bool:
    """Whether the policy acts by itself, with rights in Kubernetes."""
    return request.policy.mode is Mode.AUTO and bool(request.action.rbac)


def is_downgraded(request: GuardInput) -> bool:
    """Whether a policy in auto is treated as one in approve, because its rights are too wide."""
    return is_tested(request) and request.facts.self_test.value is False
