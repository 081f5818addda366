"""From policy, facts and history to a decision: act, hold with a reason, or not needed.

Pure: the same input gives the same output, and every path without a complete plan ends in a reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from chassis.errors import InvariantBroken
from remediations.core import actions, guards
from remediations.core.guard import GuardInput, GuardSpec
from remediations.core.model.decision import Act, Decision, GuardOutcome, Hold, NotNeeded
from remediations.core.model.facts import Facts, History
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import Remediation
from remediations.core.policies.ladder import rung_number
from remediations.core.policies.policy import Policy, PolicySet, at_rung

GUARDS = guards.discover()
ACTIONS = actions.discover()


def decide(
    remediation: Remediation, policy: Policy, policy_set: PolicySet, facts: Facts, history: History, now: float
) -> Decision:
    """The decision about a remediation now (Unix seconds), with every guard that ran.

    Raises InvariantBroken for a policy whose action does not exist; `parse_policies` accepts none.
    """
    number = rung_number(policy, history, remediation, now, policy_set.breaker.close_seconds)
    due = at_rung(policy, number)
    if due.action not in ACTIONS:
        raise InvariantBroken(f"policy {policy.name} names the action {due.action!r}, which does not exist")
    request = GuardInput(remediation, due, policy_set, ACTIONS[due.action], facts, history, now)
    return judge(request, GUARDS)


def judge(request: GuardInput, specs: Sequence[GuardSpec]) -> Decision:
    """The decision under these guards, run in this order; the first that does not pass decides."""
    asked: tuple[GuardOutcome, ...] = ()
    for spec in specs:
        outcome = spec.evaluate(request)
        asked = (*asked, outcome)
        if outcome.is_settled:
            return NotNeeded(outcome.detail, asked, outcome.settled)
        if outcome.reason is not None:
            return Hold(outcome.reason, outcome.detail, outcome.until, asked, _proposal(request, outcome))
    return _plan(request, asked)


def operation_id(remediation: Remediation) -> str:
    """The id that marks this remediation's write on the object: one id, because one remediation has one effect."""
    return remediation.operation_id or remediation.id


def _proposal(request: GuardInput, outcome: GuardOutcome) -> Plan | None:
    """The plan that needs a person's approval; None if another guard holds."""
    waits = outcome.reason in {HoldReason.APPROVAL, HoldReason.SELF_TEST_FAILED, HoldReason.REJECTED}
    plan = request.plan() if waits else None
    return plan if isinstance(plan, Plan) else None


def _plan(request: GuardInput, asked: tuple[GuardOutcome, ...]) -> Decision:
    """The decision after every guard has passed: the action's plan, or its reason for having none."""
    answer = request.plan()
    if isinstance(answer, Plan):
        return Act(answer, asked)
    if answer.is_settled:
        return NotNeeded(answer.detail, (*asked, answer), answer.settled)
    if answer.reason not in request.action.refusals:
        raise InvariantBroken(f"{request.action.name} answered {answer.reason}, which it has not declared")
    reason: HoldReason = answer.reason
    return Hold(reason, answer.detail, answer.until, (*asked, answer))
