"""Decides about one payload as the program would now, and about old decisions once more; writes nothing anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chassis.clock import Clock
from remediations import rehearsal
from remediations.core.decision_inputs import INPUTS, from_text
from remediations.core.intake import Payload
from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import Fact, Facts, History, Pause, ProcessStart
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import Policy, PolicySet
from remediations.facts.gather import read_pauses
from remediations.journal.decision_history import recollect
from remediations.journal.port import Journal
from remediations.journal.records import describe

AskFacts = Callable[[Policy, PolicySet, Target, Alert], Awaitable[Facts]]
"""Everything a decision looks at but the pauses and the start of the program."""


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

        async def look(policy: Policy, remediation: Remediation) -> tuple[Facts, History]:
            history, pauses = History(), tuple[Pause, ...]()
            if self.journal is not None:
                history, pauses = await recollect(self.journal, remediation, policy_set, now)
            if recorded is not None:
                return recorded, history
            facts = await self.ask(policy, policy_set, remediation.target, remediation.alert)
            pauses = await asyncio.to_thread(read_pauses, self.pause_file, pauses)
            return replace(facts, start=self.start, pauses=pauses), history

        return await rehearsal.rehearse(payload, policy_set, look, now, most)


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
