"""Decides about one payload as the program would now, and about old decisions once more; writes nothing anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chassis.clock import Clock
from remediations import rehearsal
from remediations.circumstances import ProcessStart
from remediations.facts import read_pauses
from remediations.intake import Payload
from remediations.journal.port import Journal, Match
from remediations.model import Fact, Facts, History
from remediations.opening import AskFacts
from remediations.policy import Policy, PolicySet
from remediations.recorded import INPUTS, from_text
from remediations.story import describe

HISTORY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Planner:
    """What a decision stands on."""

    policies: Callable[[], PolicySet]
    """The policy file as it is now."""
    journal: Journal | None
    """None where there is none yet: the history is empty then."""
    ask: AskFacts
    start: Fact[ProcessStart]
    """When the program began that would act; a command takes itself for one that runs long enough."""
    clock: Clock
    pause_file: Path | None = None

    async def plan(
        self, payload: Payload, recorded: Facts | None = None, most: int | None = None
    ) -> tuple[rehearsal.Rehearsed, ...]:
        """The decision for each pair of a policy and a target that the firing alerts belong to, each pair once.

        On recorded facts, or on those of now, pauses included. Raises ValueError for more than `most` pairs.
        """
        policy_set, now = self.policies(), self.clock.now()

        async def gather(policy: Policy, match: Match) -> Facts:
            if recorded is not None:
                return recorded
            facts = await self.ask(policy, policy_set, match.target, match.alert)
            return replace(facts, start=self.start, pauses=await self._pauses(now))

        async def remember(_policy: Policy, match: Match) -> History:
            return await self._history(match, now)

        return await rehearsal.rehearse(payload, policy_set, gather, remember, now, most)

    async def _pauses(self, now: float) -> Any:
        """The pauses in force, as the engine reads them."""
        known = () if self.journal is None else await self.journal.pauses(now)
        return await asyncio.to_thread(read_pauses, self.pause_file, known)

    async def _history(self, match: Match, now: float) -> History:
        """What was done before."""
        journal, since = self.journal, now - HISTORY_SECONDS
        if journal is None:
            return History()
        return History(
            actions=tuple(await journal.actions_since(since)),
            in_flight=tuple(await journal.in_flight(match.target, other_than="")),
            arrivals=tuple(await journal.arrivals_since(since)),
            breaker_resets=tuple(await journal.breaker_resets(since)),
        )


async def replay(journal: Journal, remediation_id: str) -> list[dict[str, Any]]:
    """Every decision of a remediation as it was and as it comes out now; raises KeyError for an unknown id."""
    _, records = await journal.story(remediation_id)
    told: list[dict[str, Any]] = []
    for record in records:
        if record.kind != "decision" or INPUTS not in record.data:
            continue
        kind, reason, _ = describe(from_text(str(record.data[INPUTS])).decide())
        then = f"{record.data.get('decision')} {record.data.get('reason')}"
        told.append({"at": record.at, "then": then, "now": f"{kind} {reason}", "is_same": then == f"{kind} {reason}"})
    return told
