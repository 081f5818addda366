"""In mode `approve`, and in `auto` with rights that are too wide, a person says yes to this very plan."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.guards.self_test import is_downgraded
from remediations.core.model.alert import Mode
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Approval
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.stored import plan_hash, resource_version


@guard(order=1500, reasons=frozenset({HoldReason.APPROVAL, HoldReason.SELF_TEST_FAILED}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds in mode `approve` until the plan has been approved, and while the approval is not for what is planned now.

    An approval names the plan by its hash and the object by its resourceVersion, and it expires. A policy in `auto` for
    which the self-test failed is held in the same way, under a reason of its own.
    """
    is_demoted = is_downgraded(request)
    if request.policy.mode is not Mode.APPROVE and not is_demoted:
        return PASSED
    plan = request.plan()
    if isinstance(plan, GuardOutcome):
        return GuardOutcome("", detail="there is no plan to approve")
    reason = HoldReason.SELF_TEST_FAILED if is_demoted else HoldReason.APPROVAL
    because = f"; auto acts only with limited rights: {request.facts.self_test.problem}" if is_demoted else ""
    wanted, approval = f"plan {plan_hash(plan)[:12]}", request.history.approval
    if approval is None or approval.remediation != request.remediation.id:
        return holds(reason, f"{wanted} waits for approval: {plan.summary}{because}")
    objection = _object(approval, plan, request.now)
    if objection:
        return holds(reason, f"{objection}; {wanted} waits: {plan.summary}{because}")
    return GuardOutcome("", detail=f"approved by {approval.by}")


def _object(approval: Approval, plan: Plan, now: float) -> str:
    """Why the answer does not let this plan pass; empty when it does."""
    if not approval.is_approved:
        return f"rejected by {approval.by}"
    if approval.expires_at <= now:
        return f"the approval of {approval.by} has expired"
    if approval.plan_hash != plan_hash(plan):
        return f"{approval.by} approved another plan"
    if approval.resource_version != resource_version(plan):
        return f"the object changed since {approval.by} approved"
    return ""
