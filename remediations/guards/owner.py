"""Nobody fights the controller that owns the object."""

from __future__ import annotations

from remediations.actions import Effect
from remediations.decision import GuardOutcome
from remediations.guards import PASSED, GuardInput, guard, holds
from remediations.reasons import HoldReason
from remediations.workload import Autoscaler


@guard(
    order=1100,
    reasons=frozenset({HoldReason.OWNER_UNKNOWN, HoldReason.OWNED_BY_OTHER, HoldReason.AUTOSCALER_BLIND}),
)
def check(request: GuardInput) -> GuardOutcome:
    """Holds what another controller would undo, and what would scale by an autoscaler that cannot see.

    A Deployment or HPA with a controlling ownerReference is regenerated from its owner (an operator, a ScaledObject).
    """
    workload = request.facts.workload.value
    if workload is not None and workload.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{workload.owner} owns the Deployment and would undo the change")
    if not request.has(Effect.SETS_REPLICAS):
        return PASSED
    autoscalers = request.facts.autoscalers
    if autoscalers.value is None:
        return holds(HoldReason.OWNER_UNKNOWN, autoscalers.problem)
    if not autoscalers.value:
        return holds(HoldReason.OWNER_UNKNOWN, "no HorizontalPodAutoscaler names the target")
    if len(autoscalers.value) > 1:
        names = ", ".join(item.name for item in autoscalers.value)
        return holds(HoldReason.OWNED_BY_OTHER, f"several HorizontalPodAutoscalers name the target: {names}")
    return _judge(autoscalers.value[0])


def _judge(autoscaler: Autoscaler) -> GuardOutcome:
    """The answer for the one autoscaler that owns the replicas."""
    if autoscaler.owner:
        return holds(HoldReason.OWNED_BY_OTHER, f"{autoscaler.owner} owns {autoscaler.name} and would undo the change")
    if autoscaler.is_active is not True:
        state = "False" if autoscaler.is_active is False else "unknown"
        return holds(HoldReason.AUTOSCALER_BLIND, f"ScalingActive of {autoscaler.name} is {state}: it sees no metrics")
    return PASSED
