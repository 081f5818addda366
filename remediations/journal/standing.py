"""The state of a remediation in the list: its mode, what it waits for, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remediations.core.codec import to_data
from remediations.core.model.facts import Approval
from remediations.core.model.reasons import describe_reason
from remediations.core.model.remediation import (
    CLOSED,
    OUTCOMES,
    REJECTED,
    STATES,
    WOULD_HAVE_ACTED,
    Record,
    Remediation,
    State,
)
from remediations.journal.approvals import PROPOSAL
from remediations.journal.port import Journal, RemediationFilter

UNACTED = frozenset({State.DRY_RUN, State.OBSERVED})
WAITS = {
    State.RECEIVED: "the first decision",
    State.CLAIMED: "facts and a decision",
    State.PLANNED: "the write",
    State.WRITING: "the write",
    State.VERIFYING: "the proof that it helped",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One remediation with its state in words."""

    remediation: Remediation
    decision: Mapping[str, Any]
    """Data of the newest decision; empty before the first one."""
    answer: Approval | None
    """The newest answer of a person to its plan."""
    decided_at: float | None = None
    """Unix seconds of the newest decision; None before the first one."""

    @property
    def mode(self) -> str:
        """Mode of the policy at the newest decision; empty if no decision recorded it."""
        return str(self.decision.get("mode") or "")

    @property
    def is_rejected(self) -> bool:
        """Whether a person has rejected the plan and none has approved it since."""
        return self.answer is not None and not self.answer.is_approved

    @property
    def is_answered(self) -> bool:
        """Whether a person's answer to its plan is still valid.

        A rejection is valid until a person approves. An approval is valid until the next decision. If that one holds
        again, the approval has expired, was for another plan, or the object has changed since.
        """
        if self.answer is None or self.decided_at is None:
            return self.answer is not None
        return self.is_rejected or self.answer.at >= self.decided_at

    @property
    def outcome(self) -> str:
        """The outcome, from the closed set OUTCOMES; empty while it is open."""
        state = self.remediation.state
        if state not in CLOSED:
            return ""
        return REJECTED if state is State.EXPIRED and self.is_rejected else state.value

    @property
    def outcome_text(self) -> str:
        """The outcome in the words of the list, with the reason if needed; empty while open."""
        if self.remediation.state in UNACTED:
            return "would have acted"
        words, reason = describe_reason(self.outcome), self.remediation.reason
        is_known = reason in {"", self.remediation.state.value, "guards_passed"}
        return words if is_known or not words else f"{words}: {describe_reason(reason)}"

    @property
    def proposal(self) -> Mapping[str, Any] | None:
        """The plan that waits for a person; None if there is none."""
        is_open = self.remediation.state not in CLOSED
        found: Mapping[str, Any] | None = self.decision.get(PROPOSAL) if is_open else None
        return found

    @property
    def waits_for(self) -> str:
        """What it waits for, as text; empty once it is closed."""
        state = self.remediation.state
        if state in CLOSED:
            return ""
        if state in WAITS:
            return WAITS[state]
        if self.proposal is not None and self.answer is not None and self.is_answered:
            return f"{'approved' if self.answer.is_approved else 'rejected'} by {self.answer.by}"
        if self.proposal is not None:
            words = f"approval of plan {str(self.proposal['plan_hash'])[:12]}"
            return words if self.answer is None else f"{words} (the answer of {self.answer.by} is no longer valid)"
        detail = str(self.decision.get("detail") or "")
        words = describe_reason(self.remediation.reason)
        return detail if not detail or detail.startswith(words) else f"{words}: {detail}"

    def to_data(self) -> dict[str, Any]:
        """The additional fields in lists, JSON-able."""
        return {
            "answer": to_data(self.answer),
            "mode": self.mode or None,
            "outcome": self.outcome or None,
            "outcome_text": self.outcome_text or None,
            "waits_for": self.waits_for or None,
        }


def make_selection(
    *, policy: str = "", target: str = "", state: str = "", outcome: str = "", reason: str = "", since: float = 0.0
) -> RemediationFilter:
    """The filter with all of these; raises ValueError for an unknown state or outcome."""
    if state and state not in STATES:
        raise ValueError(f"state: {state} must be one of {', '.join(STATES)}")
    if outcome and outcome not in OUTCOMES:
        raise ValueError(f"outcome: {outcome} must be one of {', '.join(OUTCOMES)}")
    states = frozenset(State)
    if state:
        states = {"open": states - CLOSED, "closed": CLOSED}.get(state) or frozenset({State(state)})
    is_rejected = None
    if outcome == WOULD_HAVE_ACTED:
        states &= UNACTED
    elif outcome in {REJECTED, State.EXPIRED}:
        states, is_rejected = states & {State.EXPIRED}, outcome == REJECTED
    elif outcome:
        states &= {State(outcome)}
    return RemediationFilter(policy, target, states, reason, since, is_rejected)


async def read_standings(journal: Journal, found: Sequence[Remediation]) -> list[Standing]:
    """The remediations with their newest decisions and answers; raises JournalError."""
    ids = [item.id for item in found]
    answers = await journal.newest_answers(ids)
    decisions: Mapping[str, Record] = await journal.newest_decisions(ids)
    standings = []
    for item in found:
        decision = decisions.get(item.id)
        data, at = ({}, None) if decision is None else (decision.data, decision.at)
        standings.append(Standing(item, data, answers.get(item.id), at))
    return standings
