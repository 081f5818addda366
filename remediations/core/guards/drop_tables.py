"""No pod is booted from a template that deletes the product's data."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(
    order=1300,
    reasons=frozenset({HoldReason.DROP_TABLES, HoldReason.TEMPLATE_UNREADABLE, HoldReason.TARGET_UNKNOWN}),
)
def check(request: GuardInput) -> GuardOutcome:
    """Holds while the template sets CC_DROP_TABLES, or while it cannot be read completely (envFrom included).

    The control-plane API drops and creates its tables at boot when the variable is true.
    """
    if not request.has(Effect.STARTS_PODS):
        return PASSED
    workload = request.facts.workload.value
    if workload is None:
        return holds(HoldReason.TARGET_UNKNOWN, request.facts.workload.problem)
    if workload.drop_tables is None:
        return holds(HoldReason.TEMPLATE_UNREADABLE, workload.drop_tables_problem or "not read")
    if workload.drop_tables:
        return holds(HoldReason.DROP_TABLES, "the pod template sets CC_DROP_TABLES: new pods would delete every table")
    return PASSED
