"""From policy, facts and history to a decision: to act, to hold for a stated reason, or that nothing is needed.

Pure: the same input gives the same output, and every path that does not end in a complete plan ends in a reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from chassis.errors import InvariantBroken
from remediations import actions, guards
from remediations.actions import ActionInput
from remediations.guards import GuardInput, GuardSpec
from remediations.journal.port import Remediation
from remediations.model import Act, Decision, Facts, GuardOutcome, History, Hold, HoldReason, NotNeeded, Plan
from remediations.policy import Policy, PolicySet

GUARDS = guards.discover()
ACTIONS = actions.discover()


def decide(
    remediation: Remediation, policy: Policy, policy_set: PolicySet, facts: Facts, history: History, now: float
) -> Decision:
    """What is to be done about a remediation now (Unix seconds), with every guard that was asked.

    Raises InvariantBroken for a policy whose action does not exist; `parse_policies` lets none through.
    """
    if policy.action not in ACTIONS:
        raise InvariantBroken(f"policy {policy.name} names the action {policy.action!r}, which does not exist")
    request = GuardInput(remediation, policy, policy_set, ACTIONS[policy.action], facts, history, now)
    return judge(request, GUARDS)


def judge(request: GuardInput, specs: Sequence[GuardSpec]) -> Decision:
    """The decision under these guards, asked in this order; the first that does not pass decides."""
    asked: tuple[GuardOutcome, ...] = ()
    for spec in specs:
        outcome = spec.ask(request)
        asked = (*asked, outcome)
        if outcome.is_settled:
            return NotNeeded(outcome.detail, asked)
        if outcome.reason is not None:
            return Hold(outcome.reason, outcome.detail, outcome.until, asked)
    return _plan(request, asked)


def operation_id(remediation: Remediation) -> str:
    """The id that marks this remediation's write on the object: one remediation has one effect, so one id."""
    return remediation.operation_id or remediation.id


def _plan(request: GuardInput, asked: tuple[GuardOutcome, ...]) -> Decision:
    """The decision once every guard has passed: the action's plan, or its reason for having none."""
    remediation = request.remediation
    parameters = request.action.defaults | dict(request.policy.parameters)
    answer = request.action.plan(ActionInput(remediation.target, parameters, request.facts, operation_id(remediation)))
    if isinstance(answer, Plan):
        return Act(answer, asked)
    if answer.reason not in request.action.refusals:
        raise InvariantBroken(f"{request.action.name} answered {answer.reason}, which it has not declared")
    reason: HoldReason = answer.reason
    return Hold(reason, answer.detail, answer.until, (*asked, answer))
