"""Pods that serve are not given up for pods that the cluster would refuse."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason

MOST_TOLD = 3


@guard(order=1250, reasons=frozenset({HoldReason.PODS_REFUSED}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while something that could be read says that new pods of the template would not be taken.

    A quota without room for one more pod matters where a pod is added before one goes: to a scale-up, and to a restart
    that stops no pod first. What could not be read is told and does not hold.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    template = request.facts.template
    if template.value is None:
        return GuardOutcome("", detail=f"unknown whether new pods would be taken: {template.problem}")
    found = template.value.new_pods
    speaks_against = (*found.refusals, *(found.crowded if _adds_before(request) else ()))
    if speaks_against:
        return holds(HoldReason.PODS_REFUSED, "; ".join(speaks_against[:MOST_TOLD]))
    return GuardOutcome("", detail=f"not read: {'; '.join(found.unread)}") if found.unread else PASSED


def _adds_before(request: GuardInput) -> bool:
    """Whether the action needs a new pod beside those that there are."""
    if request.has(Effect.EVICTS_POD):
        return False
    workload = request.facts.workload.value
    return not request.has(Effect.STOPS_PODS) or (workload is not None and workload.stops == 0)
