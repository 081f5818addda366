"""When everything fails at once, the cause is none that a single repair mends."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import StormLimit


@guard(order=550, reasons=frozenset({HoldReason.STORM}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds from the moment at which too many new alerts have arrived until the cooldown after the last such moment."""
    limit = request.policy_set.storm
    latest = _last_storm(sorted(request.history.arrivals), limit)
    if latest is None or request.now >= latest + limit.cooldown_seconds:
        return PASSED
    detail = f"{limit.alerts} or more new alerts within {limit.window_seconds:g} s"
    return holds(HoldReason.STORM, detail, latest + limit.cooldown_seconds)


def _last_storm(arrivals: list[float], limit: StormLimit) -> float | None:
    """When the last of so many arrivals came that lie within the window; None when there were never so many."""
    last = None
    for number in range(limit.alerts - 1, len(arrivals)):
        if arrivals[number] - arrivals[number - limit.alerts + 1] <= limit.window_seconds:
            last = arrivals[number]
    return last
