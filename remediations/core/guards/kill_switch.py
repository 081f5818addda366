"""Nothing is done while anybody has switched the remediator off."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=100, reasons=frozenset({HoldReason.KILL_SWITCH}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while a pause is in force. No time is given: a pause can be ended by hand at any moment."""
    in_force = [pause for pause in request.facts.pauses if pause.until is None or pause.until > request.now]
    if not in_force:
        return PASSED
    words = "; ".join(f"{pause.name} by {pause.owner}: {pause.reason}" for pause in in_force)
    return holds(HoldReason.KILL_SWITCH, f"paused ({words})")
