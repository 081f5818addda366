"""More pods never take the last connections of the database."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.replica_owner import FIELDS


@guard(
    order=1340,
    reasons=frozenset({HoldReason.CONNECTION_BUDGET, HoldReason.CONNECTIONS_UNKNOWN, HoldReason.TARGET_UNKNOWN}),
)
def check(request: GuardInput) -> GuardOutcome:
    """Holds what would need more connections than the policy's share of what the database accepts.

    Counted are the replicas that would result, those that a rollout adds meanwhile (maxSurge), and pods on their way
    out, which keep their connections until they end; each times the connections of one replica.
    """
    budget = request.policy.connections
    if budget is None or not request.has(Effect.STARTS_PODS):
        return PASSED
    workload, pods, limit = request.facts.workload, request.facts.pods, request.facts.connection_limit
    if workload.value is None:
        return holds(HoldReason.TARGET_UNKNOWN, workload.problem)
    if pods.value is None or limit.value is None:
        return holds(HoldReason.CONNECTIONS_UNKNOWN, pods.problem if pods.value is None else limit.problem)
    replicas = max(workload.value.replicas_desired, _planned(request.plan()))
    most = replicas + workload.value.surge + pods.value.terminating
    needed, allowed = most * budget.per_replica, budget.share * limit.value
    if needed <= allowed:
        return PASSED
    words = f"{replicas} replicas + {workload.value.surge} surge + {pods.value.terminating} terminating"
    detail = f"{words}, {budget.per_replica} connections each: {needed}, {allowed:g} allowed"
    return holds(HoldReason.CONNECTION_BUDGET, detail)


def _planned(plan: Plan | GuardOutcome) -> int:
    """The number of replicas that the plan allows; 0 when it does not change that."""
    if isinstance(plan, GuardOutcome):
        return 0
    return max((int(plan.expected[name]) for name in FIELDS & plan.expected.keys()), default=0)
