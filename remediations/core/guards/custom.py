"""What the policy's owner knows and no guard of ours does."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import HoldIf

UNASKED: Fact[bool] = Fact(None, "", "not asked")


@guard(order=1400, reasons=frozenset({HoldReason.CUSTOM, HoldReason.CUSTOM_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when a question of the policy has the answer that it names, or has none that is fresh.

    An empty answer is an answer only beside a proof that data arrives (collectors, or `freshness`).
    """
    for item in request.policy.guards:
        answer = request.facts.custom.get(item.name, UNASKED)
        if answer.value is None:
            return holds(HoldReason.CUSTOM_UNKNOWN, f"{item.name}: {answer.problem}")
        if answer.value is (item.hold_if is HoldIf.NONEMPTY):
            return holds(HoldReason.CUSTOM, f"{item.name}: {item.reason}")
    return PASSED
