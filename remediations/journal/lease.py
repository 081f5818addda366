"""A worker's claim on one remediation: its newest state, and every change, protected by the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chassis.clock import Clock
from remediations.core.model.remediation import CLOSED, Record, Remediation, State
from remediations.journal.port import Claim, Journal, StateChange


@dataclass(frozen=True, slots=True)
class Transition:
    """One of several steps that are journalled together."""

    state: State
    kind: str
    data: Mapping[str, Any]
    change: StateChange | None = None
    before: Sequence[tuple[str, Mapping[str, Any]]] = ()
    """Records (kind, data) before this step's own."""


class Lease:
    """Renews, advances and records for one claim; every method raises FenceLostError once the claim is lost.

    Every change that does not release the lease also extends it to its full time.
    """

    def __init__(self, journal: Journal, clock: Clock, claim: Claim, ttl_seconds: float) -> None:
        self._journal = journal
        self._clock = clock
        self._claim = claim
        self._ttl_seconds = ttl_seconds
        self.is_released = False

    @property
    def remediation(self) -> Remediation:
        """The remediation after the last change."""
        return self._claim.remediation

    @property
    def until(self) -> float:
        """Unix seconds until which the claim is ours."""
        return self._claim.lease_until

    def now(self) -> float:
        """Unix seconds by the clock of the leases."""
        return self._clock.now()

    async def renew(self) -> None:
        """Extends the claim to its full time from now."""
        renewed = await self._journal.renew(self._claim, self._clock.now(), self._ttl_seconds)
        self._claim = replace(renewed, remediation=self.remediation)

    async def advance_through(self, *moves: Transition) -> None:
        """Moves through these states with a record for each, all or none; the last one does not close."""
        now = self._clock.now()
        until = now + self._ttl_seconds
        changes = [
            (
                move.state,
                replace(
                    move.change or changing(),
                    record=Record(now, move.kind, move.state, move.data),
                    before=tuple(Record(now, kind, move.state, data) for kind, data in move.before),
                    lease_until=until,
                ),
            )
            for move in moves
        ]
        after = await self._journal.advance_through(self._claim, self.remediation.state, changes, now)
        self._claim = replace(self._claim, remediation=after, lease_until=until)

    async def advance(
        self, state: State, kind: str, data: Mapping[str, Any], change: StateChange | None = None
    ) -> None:
        """Moves to `state` with a record of this kind; closed and held states release the lease."""
        now = self._clock.now()
        record = Record(now, kind, state, data)
        releases = state in CLOSED or state is State.HELD or (change is not None and change.releases)
        base = change if change is not None else StateChange(record)
        until = now + self._ttl_seconds
        stored = replace(base, record=record, releases=releases, lease_until=until)
        after = await self._journal.advance(self._claim, self.remediation.state, state, now, stored)
        self._claim = replace(self._claim, remediation=after, lease_until=until)
        self.is_released = releases

    async def append_record(self, kind: str, data: Mapping[str, Any], *, next_at: float | None = None) -> None:
        """Appends a record; with `next_at` releases the lease until then, else extends it to its full time."""
        now = self._clock.now()
        until, record = now + self._ttl_seconds, Record(now, kind, self.remediation.state, data)
        await self._journal.append_record(self._claim, now, record, next_at=next_at, lease_until=until)
        self._claim = replace(self._claim, lease_until=until)
        self.is_released = next_at is not None


def changing(**fields: Any) -> StateChange:
    """A Change whose record `Lease.advance` fills in."""
    return StateChange(Record(0.0, "", State.RECEIVED), **fields)
