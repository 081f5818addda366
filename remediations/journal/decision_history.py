"""The history that a decision needs, in one read."""

from __future__ import annotations

from remediations.core.model.facts import History, Pause
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import PolicySet
from remediations.journal.port import HistorySpan, Journal

HISTORY_SECONDS = 86400.0
"""How far back writes count: no budget or cooldown is longer (the policy file does not allow it)."""


async def recollect(
    journal: Journal, remediation: Remediation, policy_set: PolicySet, now: float
) -> tuple[History, tuple[Pause, ...]]:
    """The history of earlier writes, and the pauses in force; `now` is Unix seconds. Raises JournalError."""
    storm = policy_set.storm
    span = HistorySpan(now - HISTORY_SECONDS, now - storm.window_seconds - storm.cooldown_seconds)
    known = await journal.recollect(remediation, now, span)
    history = History(
        actions=tuple(known.actions),
        in_flight=tuple(known.in_flight),
        attempts=remediation.attempts,
        arrivals=tuple(known.arrivals),
        approval=known.approval,
        breaker_resets=tuple(known.breaker_resets),
    )
    return history, tuple(known.pauses)
