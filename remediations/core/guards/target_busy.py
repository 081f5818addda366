"""At most one action is in flight per target."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=800, reasons=frozenset({HoldReason.TARGET_BUSY}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds while another remediation is planned, writing or verifying on the same target.

    The journal enforces the same when the plan is stored, for two workers that decide at the same time.
    """
    if request.history.in_flight:
        return holds(HoldReason.TARGET_BUSY, f"in flight: {', '.join(request.history.in_flight)}")
    return PASSED
