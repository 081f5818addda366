"""Guards on repetition: storms, breakers, ladders and budgets."""

from __future__ import annotations

from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import PastAction
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import REVERTED, State
from remediations.core.policies.ladder import rung_number
from remediations.core.policies.limits import Limit, LimitScope, StormLimit


@guard(order=550, reasons=frozenset({HoldReason.STORM}))
def storm(request: GuardInput) -> GuardOutcome:
    """Holds from the moment at which too many new alerts have arrived until the cooldown after the last such moment."""
    limit = request.policy_set.storm
    latest = _last_storm(sorted(request.history.arrivals), limit)
    if latest is None or request.now >= latest + limit.cooldown_seconds:
        return PASSED
    detail = f"{limit.alerts} or more new alerts within {limit.window_seconds:g} s"
    return holds(HoldReason.STORM, detail, latest + limit.cooldown_seconds)


def _last_storm(arrivals: list[float], limit: StormLimit) -> float | None:
    """When the last arrival completed a storm within the window; None if there was none."""
    last = None
    for number in range(limit.alerts - 1, len(arrivals)):
        if arrivals[number] - arrivals[number - limit.alerts + 1] <= limit.window_seconds:
            last = arrivals[number]
    return last


WITHOUT_PROOF = frozenset({State.FAILED, State.UNVERIFIED, State.EXPIRED, State.NOT_NEEDED})
"""The outcomes of a remediation whose write was not proven to help, or never arrived."""


@guard(order=570, reasons=frozenset({HoldReason.BREAKER_OPEN}))
def breaker(request: GuardInput) -> GuardOutcome:
    """Holds after the policy's number of attempts in a row of this action on this target without proven success.

    Every attempt counts, even one without a proper answer. A single write that someone else undid opens the breaker,
    because the next write would be undone too. `resolved` proves nothing. A proven success, a person's reset or time
    closes it.
    """
    limit = request.policy_set.breaker
    ended = _ended(request)
    in_a_row = ended[: next((number for number, item in enumerate(ended) if item.state is State.SUCCEEDED), len(ended))]
    fight = next((item for item in in_a_row if item.reason == REVERTED), None)
    if fight is not None and request.now < fight.written_at + limit.close_seconds:
        words = f"someone else undid the {request.action.name} of {fight.remediation}"
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

    A remediation in flight has not ended. This remediation is being decided, so none of its writes was proven to help.
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
    """Whether this remediation has sent something."""
    return item.remediation == request.remediation.id and request.history.attempts > 0


@guard(order=580, reasons=frozenset({HoldReason.LADDER_EXHAUSTED}))
def ladder(request: GuardInput) -> GuardOutcome:
    """Holds while every rung of the policy's ladder has been proven to have failed; a policy without one passes."""
    policy, reset_seconds = request.policy, request.policy_set.breaker.close_seconds
    if not policy.ladder:
        return PASSED
    failed = rung_number(policy, request.history, request.remediation, request.now, reset_seconds)
    if failed <= len(policy.ladder):
        return PASSED
    return holds(HoldReason.LADDER_EXHAUSTED, f"all {1 + len(policy.ladder)} rungs have failed: a person is needed")


@guard(order=600, reasons=frozenset({HoldReason.BUDGET_SPENT}))
def budget(request: GuardInput) -> GuardOutcome:
    """Holds if there were too many writes already: to this target, by this action or policy, or by all together.

    Every attempt counts, even one without a proper answer. The policy's own budget and the file's `max_actions` come
    first, then every further limit of the file.
    """
    policy, whole = request.policy, request.policy_set
    if request.history.attempts >= policy.budget_actions:
        return holds(HoldReason.BUDGET_SPENT, f"this remediation has tried to write {request.history.attempts} times")
    limits = (
        Limit(LimitScope.POLICY, policy.budget_actions, policy.budget_seconds),
        Limit(LimitScope.SYSTEM, whole.max_actions, whole.max_actions_seconds),
        *whole.budgets,
    )
    for limit in limits:
        times = [at for item in request.history.actions for at in _times(item, limit.scope, request)]
        outcome = _judge(times, limit, request.now)
        if outcome is not None:
            return outcome
    return PASSED


def _is_counted(item: PastAction, scope: LimitScope, request: GuardInput) -> bool:
    """Whether a limit counts this write."""
    return {
        LimitScope.TARGET: item.target == request.remediation.target,
        LimitScope.ACTION: item.action == request.action.name,
        LimitScope.POLICY: item.policy == request.policy.name,
        LimitScope.SYSTEM: True,
    }[scope]


def _times(item: PastAction, scope: LimitScope, request: GuardInput) -> list[float]:
    """When the counted attempts of one remediation were made; only the time of the last one is known."""
    is_own = item.remediation == request.remediation.id
    number = request.history.attempts if is_own else max(1, item.attempts)
    return [item.written_at] * number if _is_counted(item, scope, request) else []


def _judge(times: list[float], limit: Limit, now: float) -> GuardOutcome | None:
    """The Hold if too many of these attempts are recent; it ends when enough of them are not."""
    young = sorted(at for at in times if at > now - limit.seconds)
    if len(young) < limit.most:
        return None
    detail = f"{limit.scope.value}: {len(young)} writes in the last {limit.seconds:g} s, {limit.most} allowed"
    return holds(HoldReason.BUDGET_SPENT, detail, young[len(young) - limit.most] + limit.seconds)
