"""A plan, and the three kinds of decision: act, hold, or not needed."""

from __future__ import annotations

from dataclasses import dataclass

from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason, Settled

INPUTS = "inputs"
"""Key of a decision's record that holds all inputs of the decision."""


@dataclass(frozen=True, slots=True)
class GuardOutcome:
    """One guard's answer, in order: passed, or the reason for its hold."""

    guard: str
    reason: HoldReason | None = None
    detail: str = ""
    until: float | None = None
    """Unix seconds before which deciding again is pointless; None if unknown."""
    is_settled: bool = False
    """Nothing is left to do: the remediation closes as not needed. The condition guard or the action says so."""
    settled: Settled = Settled.CONDITION_GONE
    """Why, when it is settled."""


@dataclass(frozen=True, slots=True)
class Act:
    """The decision to act, with the plan and every guard that let it pass."""

    plan: Plan
    guards: tuple[GuardOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision not to act now, with the reason and the guards up to it."""

    reason: HoldReason
    detail: str
    until: float | None = None
    guards: tuple[GuardOutcome, ...] = ()
    proposal: Plan | None = None
    """The plan that waits for approval, if that is the reason for the hold."""


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The condition is gone, or the change to undo is no longer ours: nothing needs to be done."""

    detail: str
    guards: tuple[GuardOutcome, ...] = ()
    reason: Settled = Settled.CONDITION_GONE


Decision = Act | Hold | NotNeeded
