"""The object must exist and be readable, on an orchestrator that can change it."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import MISSING
from remediations.core.model.reasons import HoldReason


@guard(
    order=1000, reasons=frozenset({HoldReason.NO_ORCHESTRATOR, HoldReason.TARGET_MISSING, HoldReason.TARGET_UNKNOWN})
)
def check(request: GuardInput) -> GuardOutcome:
    """Holds an action on a workload without Kubernetes, or whose Deployment is missing or could not be read."""
    if not request.has(Effect.PATCHES_WORKLOAD):
        return PASSED
    if not request.facts.has_orchestrator:
        return holds(HoldReason.NO_ORCHESTRATOR, "no Kubernetes is configured")
    workload = request.facts.workload
    if workload.value is not None:
        return PASSED
    if workload.problem.startswith(MISSING):
        return holds(HoldReason.TARGET_MISSING, f"{request.remediation.target.key} does not exist")
    return holds(HoldReason.TARGET_UNKNOWN, workload.problem)
