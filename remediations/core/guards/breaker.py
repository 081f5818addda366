"""A repair that has not helped is not tried again and again."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import PastAction
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import REVERTED, State

WITHOUT_PROOF = frozenset({State.FAILED, State.UNVERIFIED, State.EXPIRED, State.NOT_NEEDED})
"""How a remediation ends that has sent a write, which was not proven to help or never arrived."""


@guard(order=570, reasons=frozenset({HoldReason.BREAKER_OPEN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds after so many attempts of this action on this target in a row that ended without proven success.

    Every attempt counts, also one that got no proper answer. One write that somebody else took back opens the breaker
    alone: the next write would be the next round of a fight. `resolved` proves nothing. A proven success, a person's
    reset or time closes it.
    """
    limit = request.policy_set.breaker
    ended = _ended(request)
    in_a_row = ended[: next((number for number, item in enumerate(ended) if item.state is State.SUCCEEDED), len(ended))]
    fight = next((item for item in in_a_row if item.reason == REVERTED), None)
    if fight is not None and request.now < fight.written_at + limit.close_seconds:
        words = f"somebody else took back the {request.action.name} of {fight.remediation}"
        return holds(HoldReason.BREAKER_OPEN, words, fight.written_at + limit.close_seconds)
    attempts = sum(max(1, item.attempts) for item in in_a_row)
    if attempts < limit.failures:
        return PASSED
    until = in_a_row[0].written_at + limit.close_seconds
    if request.now >= until:
        return PASSED
    words = f"{request.action.name} ended {attempts} times in a row without proven success"
    return holds(HoldReason.BREAKER_OPEN, words, until)


def _ended(request: GuardInput) -> list[PastAction]:
    """The attempts of this action on this target since the last reset, newest first; this remediation's own included.

    What is still in flight has not ended. This remediation is being decided, so that nothing it sent was proven.
    """
    target = request.remediation.target
    resets = [
        item.at
        for item in request.history.breaker_resets
        if item.action == request.action.name and item.target == target.key
    ]
    since = max(resets, default=float("-inf"))
    return [
        item
        for item in sorted(request.history.actions, key=lambda item: item.written_at, reverse=True)
        if item.action == request.action.name
        and item.target == target
        and item.written_at > since
        and (item.state in WITHOUT_PROOF | {State.SUCCEEDED} or _is_own_attempt(request, item))
    ]


def _is_own_attempt(request: GuardInput, item: PastAction) -> bool:
    """Whether this very remediation has sent something."""
    return item.remediation == request.remediation.id and request.history.attempts > 0
