"""A repair that has not helped is not tried again and again."""

from __future__ import annotations

from remediations.decision import GuardOutcome
from remediations.guards import PASSED, GuardInput, guard, holds
from remediations.reasons import HoldReason
from remediations.states import REVERTED, State

WITHOUT_PROOF = frozenset({State.FAILED, State.UNVERIFIED})


@guard(order=570, reasons=frozenset({HoldReason.BREAKER_OPEN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds after so many writes of this action on this target in a row that ended without proven success.

    One that somebody else took back opens it alone: the next write would be the next round of a fight.
    Only verified outcomes count: `resolved` proves nothing. A proven success, a person's reset or time closes it.
    """
    limit, target = request.policy_set.breaker, request.remediation.target
    resets = [
        item.at
        for item in request.history.breaker_resets
        if item.action == request.action.name and item.target == target.key
    ]
    since = max(resets, default=float("-inf"))
    ended = [
        item
        for item in sorted(request.history.actions, key=lambda item: item.written_at, reverse=True)
        if item.action == request.action.name
        and item.target == target
        and item.written_at > since
        and item.state in WITHOUT_PROOF | {State.SUCCEEDED}
    ]
    in_a_row = next((number for number, item in enumerate(ended) if item.state is State.SUCCEEDED), len(ended))
    fight = next((item for item in ended[:in_a_row] if item.reason == REVERTED), None)
    if fight is not None and request.now < fight.written_at + limit.close_seconds:
        words = f"somebody else took back the {request.action.name} of {fight.remediation}"
        return holds(HoldReason.BREAKER_OPEN, words, fight.written_at + limit.close_seconds)
    if in_a_row < limit.failures:
        return PASSED
    until = ended[0].written_at + limit.close_seconds
    if request.now >= until:
        return PASSED
    words = f"{request.action.name} ended {in_a_row} times in a row without proven success"
    return holds(HoldReason.BREAKER_OPEN, words, until)
