"""Resets the breaker of an action on a target."""

from __future__ import annotations

from remediations.core.model.acts import Actor
from remediations.core.model.facts import BreakerReset
from remediations.journal.approvals import AnswerError
from remediations.journal.port import Journal

MAX_NAMED = 20


async def reset_breaker(journal: Journal, action: str, target: str, actor: Actor, now: float) -> BreakerReset:
    """Stores that earlier attempts no longer count towards this breaker, and makes held remediations due at once.

    `target` is `Kind/namespace/name`. Raises JournalError, and AnswerError if no attempt of the action on the target is
    stored, so that a misspelt name is noticed.
    """
    tried = {(item.action, item.target.key) for item in await journal.actions_since(0.0)}
    if (action, target) not in tried:
        named = ", ".join(" ".join(each) for each in sorted(tried)[:MAX_NAMED]) or "none"
        raise AnswerError(f"no attempt of {action} on {target} is in the journal; there are: {named}")
    reset = BreakerReset(action, target, actor.label, now)
    await journal.reset_breaker(reset, actor)
    return reset
