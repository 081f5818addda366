"""A restart never takes away the last working pods."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.cluster import Workload
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts
from remediations.core.model.reasons import HoldReason


@guard(
    order=1200,
    reasons=frozenset(
        {
            HoldReason.TARGET_UNKNOWN,
            HoldReason.WORKLOAD_PAUSED,
            HoldReason.ROLLOUT_RUNNING,
            HoldReason.PARTIALLY_READY,
            HoldReason.DISRUPTION_BUDGET,
        }
    ),
)
def check(request: GuardInput) -> GuardOutcome:
    """Lets pods be stopped when every one is ready and the budgets allow it, or when none is ready.

    A rollout may stop `maxUnavailable` ready pods at once (Recreate: all of them). That must leave a ready pod, and
    no PodDisruptionBudget of the pods may allow fewer: rollouts ignore budgets (Kubernetes, "Disruptions"), so their
    status.disruptionsAllowed is read here. A rollout that stops none passes every budget. With no pod ready nothing is
    left to lose. With some ready a rolling update could stop those first. Fewer replicas need every pod ready.
    """
    if not (request.has(Effect.STOPS_PODS) or request.has(Effect.REMOVES_PODS)):
        return PASSED
    workload = request.facts.workload.value
    if workload is None:
        return holds(HoldReason.TARGET_UNKNOWN, request.facts.workload.problem)
    if workload.is_paused or workload.replicas_desired <= 0:
        how = "paused (spec.paused)" if workload.is_paused else "scaled to zero"
        return holds(HoldReason.WORKLOAD_PAUSED, f"the Deployment is {how}")
    if workload.is_rolling:
        words = f"{workload.replicas_updated} of {workload.replicas_desired} pods run the newest template"
        return holds(HoldReason.ROLLOUT_RUNNING, words)
    return _judge_readiness(workload) if request.has(Effect.REMOVES_PODS) else _judge(workload, request.facts)


def _judge_readiness(workload: Workload) -> GuardOutcome:
    """Holds while a pod is missing: the others are needed. Fewer pods ask no budget (Kubernetes, "Disruptions")."""
    if workload.replicas_ready >= workload.replicas_desired:
        return PASSED
    words = f"{workload.replicas_ready} of {workload.replicas_desired} pods are ready"
    return holds(HoldReason.PARTIALLY_READY, words)


def _judge(workload: Workload, facts: Facts) -> GuardOutcome:
    """The answer for a settled workload whose pods are to be stopped."""
    if workload.replicas_ready <= 0:
        return GuardOutcome("", detail="no pod is ready: nothing is left to lose")
    outcome = _judge_readiness(workload)
    if outcome.reason is not None:
        return outcome
    stops = workload.stops
    if stops is None:
        return holds(HoldReason.DISRUPTION_BUDGET, "unknown how many ready pods a rollout may stop at once")
    if stops >= workload.replicas_ready:
        words = f"strategy {workload.strategy} may stop {stops} pods at once, and {workload.replicas_ready} are ready"
        return holds(HoldReason.DISRUPTION_BUDGET, words)
    return _ask_budgets(stops, facts) if stops else PASSED


def _ask_budgets(stops: int, facts: Facts) -> GuardOutcome:
    """Holds when a budget allows fewer pods to go than a rollout may stop."""
    if facts.budgets.value is None:
        return holds(HoldReason.DISRUPTION_BUDGET, f"unknown: {facts.budgets.problem}")
    short = [f"{name} allows {most}" for name, most in sorted(facts.budgets.value.allowed.items()) if most < stops]
    if short:
        return holds(HoldReason.DISRUPTION_BUDGET, f"a rollout may stop {stops} pods at once: {', '.join(short)}")
    return PASSED
