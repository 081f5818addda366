"""The states of a remediation, the transitions between them, and the results of verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chassis.errors import InvariantBroken
from remediations.core.model.alert import Alert, Target


class State(StrEnum):
    """The state of a remediation. `TRANSITIONS` has the allowed next states."""

    RECEIVED = "received"
    CLAIMED = "claimed"
    HELD = "held"
    PLANNED = "planned"
    WRITING = "writing"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    NOT_NEEDED = "not_needed"
    EXPIRED = "expired"
    OBSERVED = "observed"
    """Closed: the policy only observes; the plan that would have been executed is in the journal."""
    DRY_RUN = "dry_run"
    """Closed: the plan was sent with dryRun=All; the server's answer is in the journal, nothing was changed."""
    QUARANTINED = "quarantined"


CLOSED = frozenset(
    {
        State.SUCCEEDED,
        State.FAILED,
        State.UNVERIFIED,
        State.NOT_NEEDED,
        State.EXPIRED,
        State.OBSERVED,
        State.DRY_RUN,
        State.QUARANTINED,
    }
)

REJECTED = "rejected"
"""Outcome of an expired remediation whose plan was rejected."""
WOULD_HAVE_ACTED = "would_have_acted"
"""Outcome of DRY_RUN and OBSERVED together."""
OUTCOMES = (*sorted(state.value for state in CLOSED - {State.QUARANTINED}), REJECTED, WOULD_HAVE_ACTED)
STATES = ("open", "closed", *(state.value for state in State if state is not State.QUARANTINED))

IN_FLIGHT = frozenset({State.PLANNED, State.WRITING, State.VERIFYING})
"""At most one remediation per target is in one of these."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.CLAIMED}),
    State.CLAIMED: frozenset(
        {State.HELD, State.PLANNED, State.NOT_NEEDED, State.EXPIRED, State.OBSERVED, State.DRY_RUN}
    ),
    State.HELD: frozenset({State.CLAIMED}),
    State.PLANNED: frozenset({State.WRITING, State.CLAIMED}),
    State.WRITING: frozenset({State.VERIFYING, State.CLAIMED, State.FAILED, State.UNVERIFIED}),
    State.VERIFYING: frozenset({State.SUCCEEDED, State.FAILED, State.UNVERIFIED}),
}
"""PLANNED and WRITING go back to CLAIMED when the object changed (409): facts are gathered and decided again.
WRITING closes as UNVERIFIED if it could not be found out in time whether the write arrived. OBSERVED and DRY_RUN
follow CLAIMED at once: they do not block the target, and doing them twice changes nothing."""


REVERTED = "reverted"
"""Reason of a remediation that failed because someone else undid the write."""


def require_transition(expected: State, state: State) -> None:
    """Raises InvariantBroken for a transition that TRANSITIONS does not have; every adapter checks before it writes."""
    if state not in TRANSITIONS.get(expected, frozenset()):
        raise InvariantBroken(f"a remediation cannot go from {expected} to {state}")


class Outcome(StrEnum):
    """What verification says."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a verification, with the reason in words."""

    outcome: Outcome
    detail: str
    is_reverted: bool = False
    """Failed because someone else undid the write: another attempt would be undone too."""

    @property
    def reason(self) -> str:
        """Why the remediation closed, from a closed set: the outcome, or REVERTED."""
        return REVERTED if self.is_reverted else self.outcome.value


@dataclass(frozen=True, slots=True)
class Remediation:
    """One remediation in its current state."""

    id: str
    policy: str
    target: Target
    state: State
    alert: Alert
    created_at: float
    updated_at: float
    fence: int
    lease_until: float | None
    next_at: float
    """Unix seconds before which no worker need process it again."""
    operation_id: str | None = None
    reason: str = ""
    """Reason of the last decision or outcome, from a closed set."""
    plan: Mapping[str, Any] | None = None
    """The stored plan (model.Plan as JSON-able data) once there is one."""
    written_at: float | None = None
    attempts: int = 0
    is_resolved: bool = False
    """Whether Alertmanager has reported `resolved`; this proves nothing."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a remediation; never changed once written."""

    at: float
    kind: str
    """received | joined | resolved | claimed | decision | plan | evidence | write | verification | closed …"""
    state: State
    data: Mapping[str, Any] = field(default_factory=dict)
    number: int = field(default=0, compare=False)
    """Its place in the journal, by which a damaged record is named; 0 before it is stored."""
