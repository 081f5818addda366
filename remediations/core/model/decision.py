"""A plan, and the three decisions that there are: act, hold, or nothing to do any more."""

from __future__ import annotations

from dataclasses import dataclass

from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason, Settled


@dataclass(frozen=True, slots=True)
class GuardOutcome:
    """One guard's answer, in the order asked: passed, or the reason that it held."""

    guard: str
    reason: HoldReason | None = None
    detail: str = ""
    until: float | None = None
    """Unix seconds before which asking again is pointless; None when nobody knows."""
    is_settled: bool = False
    """There is nothing left to do: the remediation closes as not needed. The condition guard or the action says so."""
    settled: Settled = Settled.CONDITION_GONE
    """Why, when it is settled."""


@dataclass(frozen=True, slots=True)
class Act:
    """The decision to act, with the plan and every guard that let it pass."""

    plan: Plan
    guards: tuple[GuardOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision not to act now, with the reason and the guards asked up to it."""

    reason: HoldReason
    detail: str
    until: float | None = None
    guards: tuple[GuardOutcome, ...] = ()
    proposal: Plan | None = None
    """The plan that waits for approval, when this is what holds."""


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The condition is gone, or what was to be done is not ours any more: there is nothing to do."""

    detail: str
    guards: tuple[GuardOutcome, ...] = ()
    reason: Settled = Settled.CONDITION_GONE


Decision = Act | Hold | NotNeeded
