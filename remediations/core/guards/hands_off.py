"""An object that a person has marked is left alone."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.names import ANNOTATION_HANDS_OFF
from remediations.core.model.reasons import HoldReason

NO_WORDS = frozenset({"", "false"})


@guard(order=250, reasons=frozenset({HoldReason.HANDS_OFF}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while the workload, or an autoscaler of it, carries the annotation controlcore.io/hands-off.

    Every value but `false` counts: who writes it wants to be heard. What could not be read is held by `target`.
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
    """Whether the annotation says so."""
    return value is not None and value.strip().lower() not in NO_WORDS
