"""After a long absence the present is looked at first."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason

GAP_SECONDS = 600.0
HOLD_SECONDS = 300.0


@guard(order=210, reasons=frozenset({HoldReason.COLD_START}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds for five minutes after a start that followed more than ten minutes of silence in the journal.

    In that time resolved alerts are heard of and exporters collect again. A crash and a restart within seconds is no
    absence, and in a journal that is new nothing old stands that could be done late.
    """
    start = request.facts.start.value
    if start is None:
        return holds(HoldReason.COLD_START, f"nobody knows since when this process runs: {request.facts.start.problem}")
    if start.silent_seconds is None or start.silent_seconds <= GAP_SECONDS:
        return PASSED
    until = start.at + HOLD_SECONDS
    if request.now >= until:
        return PASSED
    return holds(HoldReason.COLD_START, f"started after {start.silent_seconds:.0f} s of silence", until)
