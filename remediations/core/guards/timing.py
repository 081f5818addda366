"""Guards on time: paused, too late, too early, frozen, too soon after the last action."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=100, reasons=frozenset({HoldReason.KILL_SWITCH}))
def kill_switch(request: GuardInput) -> GuardOutcome:
    """Holds while a pause of everything, of the policy or of the target is in force.

    It gives no end, because a person can end a pause at any moment.
    """
    policy, target = request.policy.name, request.remediation.target.key
    in_force = [
        pause
        for pause in request.facts.pauses
        if (pause.until is None or pause.until > request.now) and pause.covers(policy, target)
    ]
    if not in_force:
        return PASSED
    words = "; ".join(f"{pause.name} by {pause.owner}: {pause.reason}" for pause in in_force)
    return holds(HoldReason.KILL_SWITCH, f"paused ({words})")


@guard(order=150, reasons=frozenset({HoldReason.EXPIRED}))
def expiry(request: GuardInput) -> GuardOutcome:
    """Expires a remediation that is older than the policy allows.

    It runs before every guard that could hold without end. If the fault still exists, its alert is sent again, and that
    begins a new remediation with a fresh decision.
    """
    age = request.now - request.remediation.created_at
    if age < request.policy.expires_seconds:
        return PASSED
    return holds(
        HoldReason.EXPIRED, f"not acted on for {age:.0f} s; the policy allows {request.policy.expires_seconds:g} s"
    )


GAP_SECONDS = 600.0


HOLD_SECONDS = 300.0


@guard(order=210, reasons=frozenset({HoldReason.COLD_START}))
def cold_start(request: GuardInput) -> GuardOutcome:
    """Holds for five minutes after a start, if the journal had been idle for more than ten minutes.

    In that time Alertmanager reports resolved alerts and exporters collect again. A restart within seconds is not held,
    and a new journal contains nothing old that could be done late.
    """
    start = request.facts.start.value
    if start is None:
        return holds(HoldReason.COLD_START, f"the start time of this process is unknown: {request.facts.start.problem}")
    if start.silent_seconds is None or start.silent_seconds <= GAP_SECONDS:
        return PASSED
    until = start.at + HOLD_SECONDS
    if request.now >= until:
        return PASSED
    return holds(
        HoldReason.COLD_START, f"started after the journal had been idle for {start.silent_seconds:.0f} s", until
    )


@guard(order=220, reasons=frozenset({HoldReason.FREEZE_WINDOW, HoldReason.OUTSIDE_SCHEDULE}))
def freeze_window(request: GuardInput) -> GuardOutcome:
    """Holds inside a freeze window of the file or of the policy, and outside the policy's schedule if it has one."""
    for window in (*request.policy_set.freeze, *request.policy.freeze):
        end = window.end_if_open(request.now)
        if end is not None:
            return holds(HoldReason.FREEZE_WINDOW, f"{window.name} ({window.zone.key})", end)
    schedule = request.policy.schedule
    if schedule and all(window.end_if_open(request.now) is None for window in schedule):
        return holds(HoldReason.OUTSIDE_SCHEDULE, f"acts only within {', '.join(window.name for window in schedule)}")
    return PASSED


@guard(order=700, reasons=frozenset({HoldReason.COOLDOWN}))
def cooldown(request: GuardInput) -> GuardOutcome:
    """Holds while this policy's last write to the same target is younger than the cooldown.

    Writes of this remediation do not count, because they are known to have had no effect. `retry_seconds` separates
    them, and `budget` limits their number.
    """
    policy, remediation = request.policy, request.remediation
    written = [
        item.written_at
        for item in request.history.actions
        if item.policy == policy.name and item.target == remediation.target and item.remediation != remediation.id
    ]
    until = max(written, default=float("-inf")) + policy.cooldown_seconds
    if request.now >= until:
        return PASSED
    return holds(HoldReason.COOLDOWN, f"written {request.now - max(written):.0f} s ago", until)
