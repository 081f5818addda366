"""The contract of every journal, independent of its storage. `tests/contract/journal.py` tests each adapter.

- `append` returns only when the alerts are durable; an error means: nothing was accepted (the webhook answers 503).
- One open remediation exists per (policy, target): a repeated alert joins it, a new one begins after it has closed.
- `claim` hands an open remediation to one worker with a fence that grows at every claim. Every later change names the
  fence. A fence that is no longer the newest, or whose lease has run out, changes nothing (FenceLostError).
- At most one remediation per target is in flight (PLANNED, WRITING, VERIFYING): `advance` raises TargetBusyError.
- Records are only appended; a state changes only along `model.TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from remediations.core.model.acts import Actor, HumanAct
from remediations.core.model.alert import Delivery, Match, Target
from remediations.core.model.facts import Approval, BreakerReset, PastAction, Pause
from remediations.core.model.remediation import Record, Remediation, State

MAX_ARRIVALS = 10_000


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of `append` for a delivery."""

    opened: tuple[str, ...]
    """Ids of new remediations."""
    joined: tuple[str, ...]
    """Ids of open remediations that a repeated firing alert joined."""
    resolved: tuple[str, ...]
    """Ids of open remediations whose alert was reported resolved (a hint, nothing more)."""
    duplicates: int = 0
    """Alerts that were delivered again and whose remediation has closed: they begin nothing."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A remediation that begins with the change of another one: HELD (reason `scheduled`) until it is due.

    If one of this policy and target is open, it joins that one, which is then due at the newer time and unclaimed. A
    worker that has claimed it loses the claim, because its work has changed.
    """

    match: Match
    due_at: float
    """Unix seconds."""
    data: Mapping[str, Any]
    """Data of the record `scheduled`."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """What `advance` stores besides the new state; None leaves a field unchanged."""

    record: Record
    before: Sequence[Record] = ()
    """Further records, stored before that one."""
    reason: str | None = None
    next_at: float | None = None
    operation_id: str | None = None
    plan: Mapping[str, Any] | None = None
    written_at: float | None = None
    is_attempt: bool = False
    releases: bool = False
    """Releases the lease at once, so that any worker may claim at `next_at`."""
    lease_until: float | None = None
    """Extends the lease until then (Unix seconds), unless it is released."""
    follow: FollowUp | None = None
    """The remediation that begins with this change, in the same transaction."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to change one remediation until `lease_until` (Unix seconds)."""

    remediation: Remediation
    worker: str
    fence: int
    lease_until: float


@dataclass(frozen=True, slots=True)
class HistorySpan:
    """How far back a decision reads; Unix seconds."""

    writes: float
    """Since when writes and reset breakers count."""
    arrivals: float


@dataclass(frozen=True, slots=True)
class RemediationFilter:
    """Which remediations are listed: those that match all of these; an empty field matches everything."""

    policy: str = ""
    """Its reverts are listed too."""
    target: str = ""
    """`Target.key`, or the object's name alone."""
    states: frozenset[State] = frozenset(State)
    reason: str = ""
    since: float = 0.0
    """Unix seconds; earlier remediations are left out."""
    is_rejected: bool | None = None
    """Whether the newest answer of a person is a rejection; None: any."""


EVERY = RemediationFilter()


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a journal on the disk."""

    data: int
    log: int
    """Of the write-ahead log; it is truncated once no reader uses an old state."""


@dataclass(frozen=True, slots=True)
class DecisionHistory:
    """Everything in the journal that a decision needs, at one moment; see the methods of the same names."""

    pauses: Sequence[Pause]
    actions: Sequence[PastAction]
    in_flight: Sequence[str]
    arrivals: Sequence[float]
    approval: Approval | None
    breaker_resets: Sequence[BreakerReset]


class Journal(Protocol):
    """The port. Every method may raise JournalError."""

    async def append(self, delivery: Delivery) -> Stored:
        """Stores a delivery durably, in one transaction."""
        ...

    async def claim(self, worker: str, now: float, ttl_seconds: float) -> Claim | None:
        """Claims the open remediation that has waited longest and is due, or None.

        A claim need not survive a power failure, because its holder does not survive it either. The following changes
        are durable. A held or in-flight one whose lease has run out can be claimed again in its present state (RECEIVED
        and HELD become CLAIMED).
        """
        ...

    async def release_orphaned_claims(self) -> int:
        """Ends the claims of dead processes, so that their leases need not expire; returns how many.

        Raises AlreadyServedError, and ends none, while another process that has called this is alive. Call it once,
        before the first claim.
        """
        ...

    async def renew(self, claim: Claim, now: float, ttl_seconds: float) -> Claim:
        """Extends the lease; raises FenceLostError if it is no longer ours."""
        ...

    async def advance(
        self, claim: Claim, expected: State, state: State, now: float, change: StateChange
    ) -> Remediation:
        """Moves a remediation from `expected` to `state` and appends the record, in one transaction."""
        ...

    async def advance_through(
        self, claim: Claim, expected: State, moves: Sequence[tuple[State, StateChange]], now: float
    ) -> Remediation:
        """Moves from `expected` through several states, with a record for each, in one transaction: all or nothing."""
        ...

    async def append_record(
        self,
        claim: Claim,
        now: float,
        record: Record,
        *,
        next_at: float | None = None,
        lease_until: float | None = None,
    ) -> None:
        """Appends a record without changing the state.

        With `next_at` the lease is released until then, with `lease_until` it is extended until then.
        """
        ...

    async def recollect(self, remediation: Remediation, now: float, span: HistorySpan) -> DecisionHistory:
        """Everything that a decision about this remediation needs, at one moment."""
        ...

    async def listing(
        self, *, only_open: bool = False, limit: int = 100, selection: RemediationFilter = EVERY
    ) -> Sequence[Remediation]:
        """Remediations, newest first."""
        ...

    async def count_listed(self, selection: RemediationFilter) -> int:
        """How many remediations are selected; reads all of them."""
        ...

    async def newest_decisions(self, remediation_ids: Sequence[str]) -> Mapping[str, Record]:
        """The newest decision of each of these remediations; those without one are absent."""
        ...

    async def story(self, remediation_id: str) -> tuple[Remediation, Sequence[Record]]:
        """One remediation and everything recorded of it, oldest first; raises KeyError for an unknown id."""
        ...

    async def actions_since(self, since: float) -> Sequence[PastAction]:
        """Writes made since then, newest first, over all targets."""
        ...

    async def in_flight(self, target: Target, *, other_than: str) -> Sequence[str]:
        """Ids of other remediations in flight on this target."""
        ...

    async def pause(self, pause: Pause, now: float, actor: Actor) -> None:
        """Sets (or replaces) a named pause from now on, whatever its `since` is, and stores the actor.

        Raises AnswerError if a pause of this name is in force and stops something that the new one would not. A pause
        of everything replaces any other.
        """
        ...

    async def resume(self, name: str, now: float, actor: Actor) -> bool:
        """Ends a named pause, and stores the actor; False if there was none, and then nothing is stored."""
        ...

    async def pauses(self, now: float) -> Sequence[Pause]:
        """The pauses in force."""
        ...

    async def answer(self, approval: Approval, actor: Actor, now: float) -> None:
        """Stores a person's answer to a plan and the actor, and makes the remediation due at once.

        Raises KeyError for an unknown remediation, JournalError for a closed one.
        """
        ...

    async def approval(self, remediation_id: str) -> Approval | None:
        """The newest answer to a plan of this remediation, whether or not it is still valid."""
        ...

    async def arrivals_since(self, since: float) -> Sequence[float]:
        """When new alerts arrived (Unix seconds), newest first; at most MAX_ARRIVALS."""
        ...

    async def newest_answers(self, remediation_ids: Sequence[str]) -> Mapping[str, Approval]:
        """The newest answer to a plan of each of these remediations; those without an answer are absent."""
        ...

    async def reset_breaker(self, reset: BreakerReset, actor: Actor) -> None:
        """Stores the reset of the breaker of an action on a target; held remediations are due at once."""
        ...

    async def note_act(self, act: HumanAct) -> None:
        """Stores an act without another change in the journal, such as a reload."""
        ...

    async def acts(self, limit: int) -> Sequence[HumanAct]:
        """People's acts, newest first."""
        ...

    async def breaker_resets(self, since: float) -> Sequence[BreakerReset]:
        """The breakers that were reset since then, newest first."""
        ...

    async def last_entry_at(self) -> float | None:
        """Unix seconds of the newest record; None for a new journal."""
        ...

    async def counts(self) -> Mapping[State, int]:
        """How many remediations are in each state."""
        ...

    async def prune(self, before: float) -> int:
        """Removes remediations that closed before then (Unix seconds), with their records; returns how many.

        Older quarantined alerts and acts are removed too. `before` must be at least a day back, because decisions read
        that far.
        """
        ...

    async def sizes(self) -> Sizes | None:
        """The size of the journal on the disk; None if it is not a file."""
        ...

    async def check_integrity(self) -> None:
        """Writes a dummy row, to test that the journal can be written; raises JournalError."""
        ...
