"""Pods stay as they are while a recovery or a backup runs."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason

UNASKED: Fact[bool] = Fact(None, "", "not asked")


@guard(order=1330, reasons=frozenset({HoldReason.LOCKED, HoldReason.LOCK_UNKNOWN}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds what stops or starts pods while a lock of the policy file is held, or while nobody knows."""
    if not any(request.has(effect) for effect in (Effect.STOPS_PODS, Effect.STARTS_PODS, Effect.REMOVES_PODS)):
        return PASSED
    locks = {name: request.facts.locks.get(name, UNASKED) for name in request.policy_set.locks}
    held = [name for name, lock in locks.items() if lock.value is True]
    if held:
        return holds(HoldReason.LOCKED, f"{', '.join(held)} running")
    unknown = [f"{name}: {lock.problem}" for name, lock in locks.items() if lock.value is None]
    if unknown:
        return holds(HoldReason.LOCK_UNKNOWN, "; ".join(unknown))
    return PASSED
