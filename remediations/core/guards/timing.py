"""Guards on time: switched off, too late, too early, frozen, too soon after the last action."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.reasons import HoldReason


@guard(order=100, reasons=frozenset({HoldReason.KILL_SWITCH}))
def kill_switch(request: GuardInput) -> GuardOutcome:
    """Holds while a pause of everything, of the policy or of the target is in force.

    No time is given: a pause can be ended by hand at any moment.
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
    """Expires what is older than the policy allows; it asks before every guard that could hold for ever.

    A fault that is still there sends its alert again, and that begins a new remediation with a fresh decision.
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

    Writes of this very remediation do not count: they are known to have had no effect. Its `retry_seconds` lie between
    them, and `budget` bounds how often they are tried.
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
