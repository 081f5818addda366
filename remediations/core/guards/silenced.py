"""What people have silenced is not repaired behind their back."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=230, reasons=frozenset({HoldReason.SILENCED, HoldReason.SILENCE_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while Alertmanager silences, inhibits or mutes the alert, or while it cannot be asked.

    A silence set after the webhook was sent stops no delivery; so the question is asked anew with every decision.
    """
    mutes = request.facts.mutes
    if mutes.value is None:
        return holds(HoldReason.SILENCE_UNKNOWN, mutes.problem)
    if mutes.value:
        return holds(HoldReason.SILENCED, "; ".join(mutes.value))
    return PASSED
