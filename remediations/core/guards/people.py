"""Guards on people: what they silenced, marked, changed or have to approve."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.guards.scope import is_downgraded
from remediations.core.model.alert import Mode
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Approval
from remediations.core.model.names import ANNOTATION_HANDS_OFF
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.stored import plan_hash, resource_version
from remediations.core.policies.time_windows import parse_clock


@guard(order=230, reasons=frozenset({HoldReason.SILENCED, HoldReason.SILENCE_UNKNOWN}))
def silenced(request: GuardInput) -> GuardOutcome:
    """Holds while Alertmanager silences, inhibits or mutes the alert, or while it does not answer.

    A silence that was set after the webhook was sent does not stop the delivery, so every decision queries again.
    """
    mutes = request.facts.mutes
    if mutes.value is None:
        return holds(HoldReason.SILENCE_UNKNOWN, mutes.problem)
    if mutes.value:
        return holds(HoldReason.SILENCED, "; ".join(mutes.value))
    return PASSED


NO_WORDS = frozenset({"", "false"})


@guard(order=250, reasons=frozenset({HoldReason.HANDS_OFF}))
def hands_off(request: GuardInput) -> GuardOutcome:
    """Holds while the workload, or an autoscaler of it, has the annotation controlcore.io/hands-off.

    Every value but `false` counts. If the object could not be read, the guard `target` holds.
    """
    facts = request.facts
    marked = [
        item.name for item in facts.autoscalers.value or () if _is_marked(item.annotations.get(ANNOTATION_HANDS_OFF))
    ]
    if facts.workload.value is not None and _is_marked(facts.workload.value.annotations.get(ANNOTATION_HANDS_OFF)):
        marked.insert(0, request.remediation.target.key)
    if marked:
        return holds(HoldReason.HANDS_OFF, f"{ANNOTATION_HANDS_OFF} on {', '.join(marked)}")
    return PASSED


def _is_marked(value: str | None) -> bool:
    """Whether the annotation is set."""
    return value is not None and value.strip().lower() not in NO_WORDS


@guard(order=270, reasons=frozenset({HoldReason.HUMAN_ACTIVE, HoldReason.CHANGES_UNKNOWN}))
def human_active(request: GuardInput) -> GuardOutcome:
    """Holds while a change of the target by another user or program is younger than the policy's quiet time.

    If the workload could not be read at all, the guard `target` holds.
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


SKEW_SECONDS = 60.0
"""The clocks of Prometheus and of the API server may differ by this much."""


@guard(order=280, reasons=frozenset({HoldReason.RECENT_CHANGE, HoldReason.CHANGES_UNKNOWN}))
def recent_change(request: GuardInput) -> GuardOutcome:
    """Holds if the alert began soon after another user or program changed the target, and names the change.

    The alert's own startsAt counts if it is earlier than its arrival. If startsAt is wrong, the result is a hold, or
    the same as with the time of arrival. If the workload could not be read at all, the guard `target` holds.
    """
    reach = request.policy.change_quiet_seconds
    if reach <= 0 or request.facts.workload.value is None:
        return PASSED
    changes = request.facts.changes
    if changes.value is None:
        return holds(HoldReason.CHANGES_UNKNOWN, changes.problem)
    heard = request.remediation.created_at
    began = min(heard, parse_clock(request.remediation.alert.starts_at) or heard)
    for change in sorted(changes.value, key=lambda item: item.at, reverse=True):
        if -SKEW_SECONDS <= began - change.at <= reach:
            detail = f"began {began - change.at:.0f} s after {change.who} changed {change.what}"
            return holds(HoldReason.RECENT_CHANGE, detail)
    return PASSED


@guard(order=1500, reasons=frozenset({HoldReason.APPROVAL, HoldReason.SELF_TEST_FAILED, HoldReason.REJECTED}))
def approval(request: GuardInput) -> GuardOutcome:
    """Holds in mode `approve` until the plan has been approved, and while the approval is for another plan.

    An approval names the plan by its hash and the object by its resourceVersion, and it expires. A rejection holds
    until a person approves or the remediation expires. A policy in `auto` for which the self-test failed is held in the
    same way, with a separate reason.
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
    if not approval.is_approved:
        return holds(HoldReason.REJECTED, f"rejected by {approval.by}; {wanted} may still be approved: {plan.summary}")
    objection = _object(approval, plan, request.now)
    if objection:
        return holds(reason, f"{objection}; {wanted} waits: {plan.summary}{because}")
    return GuardOutcome("", detail=f"approved by {approval.by}")


def _object(approval: Approval, plan: Plan, now: float) -> str:
    """Why the answer does not allow this plan; empty if it does."""
    if approval.expires_at <= now:
        return f"the approval of {approval.by} has expired"
    if approval.plan_hash != plan_hash(plan):
        return f"{approval.by} approved another plan"
    if approval.resource_version != resource_version(plan):
        return f"the object changed since {approval.by} approved"
    return ""
