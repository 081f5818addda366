"""How each part of the journal's contract opens an adapter and brings a remediation to a state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from remediations.core.model.alert import Alert, Delivery, Match, Quarantined, Target
from remediations.core.model.remediation import Record, State
from remediations.journal.port import Claim, Journal, StateChange, Stored

T0 = 1_700_000_000.0
API = Target("control-core", "Deployment", "control-plane-api")
BOUNCER = Target("control-core", "Deployment", "bouncer")
LABELS = {"alertname": "ApiDown", "cluster": "demo"}
PATHS = {
    State.CLAIMED: (),
    State.HELD: (State.HELD,),
    State.PLANNED: (State.PLANNED,),
    State.WRITING: (State.PLANNED, State.WRITING),
    State.VERIFYING: (State.PLANNED, State.WRITING, State.VERIFYING),
}


def match(
    policy: str = "restart-api", target: Target = API, *, is_firing: bool = True, fingerprint: str = "f1"
) -> Match:
    return Match(
        Alert(fingerprint, "ApiDown", is_firing, LABELS, {"summary": "down"}, "2026-01-01T00:00:00Z"), policy, target
    )


def delivery(*matches: Match, at: float = T0, quarantined: tuple[Quarantined, ...] = ()) -> Delivery:
    return Delivery(at, matches, 0, quarantined)


def change(kind: str = "decision", state: State = State.HELD, **values: object) -> StateChange:
    return StateChange(Record(T0, kind, state, {"guards": ["identity"]}), **values)  # type: ignore[arg-type]


class Opening:
    """A journal of the adapter under test, and the ways to fill it."""

    def open(self, place: Path) -> AbstractAsyncContextManager[Journal]:
        """The adapter under test, storing in (or under the name of) `place`; opened twice it finds the same data."""
        raise NotImplementedError

    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        async with self.open(tmp_path / "journal") as opened:
            yield opened

    async def begin(self, journal: Journal, *matches: Match) -> str:
        return (await journal.append(delivery(*(matches or (match(),))))).opened[0]

    async def claim(self, journal: Journal, now: float = T0, worker: str = "one") -> Claim:
        claim = await journal.claim(worker, now, 10)
        assert claim is not None
        return claim

    async def bring_to(self, journal: Journal, state: State) -> Claim:
        """A claimed remediation in this state."""
        await self.begin(journal)
        claim = await self.claim(journal)
        before = State.CLAIMED
        for after in PATHS[state]:
            await journal.advance(claim, before, after, T0, change(state=after))
            before = after
        return claim

    def alike(self, content: str = "c1", *, is_firing: bool = True, policy: str = "restart-api") -> Match:
        return replace(match(policy, is_firing=is_firing), content=content)

    async def deliver(self, journal: Journal, *matches: Match, at: float) -> Stored:
        return await journal.append(replace(delivery(*matches, at=at), duplicate_seconds=60.0))

    async def closed_as(self, journal: Journal, state: State) -> None:
        claim = await self.claim(journal)
        await journal.advance(claim, State.CLAIMED, state, T0, change())
