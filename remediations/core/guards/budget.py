"""Repairs that do not help are not repeated without end."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import PastAction
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Limit, Scope


@guard(order=600, reasons=frozenset({HoldReason.BUDGET_SPENT}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds when so much has been written already: on this target, by this action or policy, or by all together.

    Every attempt counts, also one that got no proper answer.
    The policy's own budget and the file's `max_actions` come first, then every further limit of the file.
    """
    policy, whole = request.policy, request.policy_set
    if request.history.attempts >= policy.budget_actions:
        return holds(HoldReason.BUDGET_SPENT, f"this remediation has tried to write {request.history.attempts} times")
    limits = (
        Limit(Scope.POLICY, policy.budget_actions, policy.budget_seconds),
        Limit(Scope.SYSTEM, whole.max_actions, whole.max_actions_seconds),
        *whole.budgets,
    )
    for limit in limits:
        times = [at for item in request.history.actions for at in _times(item, limit.scope, request)]
        outcome = _judge(times, limit, request.now)
        if outcome is not None:
            return outcome
    return PASSED


def _is_counted(item: PastAction, scope: Scope, request: GuardInput) -> bool:
    """Whether a write belongs to what a limit counts."""
    return {
        Scope.TARGET: item.target == request.remediation.target,
        Scope.ACTION: item.action == request.action.name,
        Scope.POLICY: item.policy == request.policy.name,
        Scope.SYSTEM: True,
    }[scope]


def _times(item: PastAction, scope: Scope, request: GuardInput) -> list[float]:
    """When the attempts of one remediation were made that a limit counts; only the time of the last is known."""
    is_own = item.remediation == request.remediation.id
    number = request.history.attempts if is_own else max(1, item.attempts)
    return [item.written_at] * number if _is_counted(item, scope, request) else []


def _judge(times: list[float], limit: Limit, now: float) -> GuardOutcome | None:
    """The Hold when too many of these attempts are young; it ends when enough of them are not."""
    young = sorted(at for at in times if at > now - limit.seconds)
    if len(young) < limit.most:
        return None
    detail = f"{limit.scope.value}: {len(young)} writes in the last {limit.seconds:g} s, {limit.most} allowed"
    return holds(HoldReason.BUDGET_SPENT, detail, young[len(young) - limit.most] + limit.seconds)
