"""Decides about one payload as the program would now, and repeats old decisions; writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chassis.clock import Clock
from remediations.core.codec import to_data
from remediations.core.decide import decide
from remediations.core.decision_inputs import read_inputs
from remediations.core.intake import Payload, match_alerts
from remediations.core.model.alert import Alert, Match, Target
from remediations.core.model.decision import INPUTS, Act, Decision
from remediations.core.model.facts import Fact, Facts, History, Pause, ProcessStart
from remediations.core.model.remediation import Remediation, State
from remediations.core.model.stored import describe_difference, plan_hash, plan_to_data
from remediations.core.policies.policy import Policy, PolicySet
from remediations.facts.pause_file import read_pauses
from remediations.journal.decision_history import recollect
from remediations.journal.port import Journal
from remediations.journal.records import decision_data, describe

AskFacts = Callable[[Policy, PolicySet, Target, Alert], Awaitable[Facts]]
"""Everything that a decision reads except the pauses and the start of the program."""


@dataclass(frozen=True, slots=True)
class Planner:
    """What a decision needs."""

    policies: Callable[[], PolicySet]
    """The policy file in force."""
    journal: Journal | None
    """None if there is no journal yet: the history is empty then."""
    ask: AskFacts
    start: Fact[ProcessStart]
    """Start of the program that would act; a command counts as running for long enough."""
    clock: Clock
    pause_file: Path | None = None

    async def plan(
        self, payload: Payload, recorded: Facts | None = None, most: int | None = None
    ) -> tuple[SimulatedDecision, ...]:
        """The decision for each pair of a policy and a target that matches the firing alerts, each pair once.

        On recorded facts, or on current ones, pauses included. Raises ValueError for more than `most` pairs.
        """
        policy_set, now = self.policies(), self.clock.now()

        async def read_facts(policy: Policy, remediation: Remediation) -> tuple[Facts, History]:
            history, pauses = History(), tuple[Pause, ...]()
            if self.journal is not None:
                history, pauses = await recollect(self.journal, remediation, policy_set, now)
            if recorded is not None:
                return recorded, history
            facts = await self.ask(policy, policy_set, remediation.target, remediation.alert)
            pauses = await asyncio.to_thread(read_pauses, self.pause_file, pauses)
            return replace(facts, start=self.start, pauses=pauses), history

        return await simulate(payload, policy_set, read_facts, now, most)


async def replay(journal: Journal, remediation_id: str) -> list[dict[str, Any]]:
    """Every decision of a remediation as it was and as it would be now; raises KeyError for an unknown id."""
    _, records = await journal.story(remediation_id)
    told: list[dict[str, Any]] = []
    for record in records:
        if record.kind != "decision" or INPUTS not in record.data:
            continue
        kind, reason, _ = describe(read_inputs(record).decide())
        then = f"{record.data.get('decision')} {record.data.get('reason')}"
        told.append({"at": record.at, "then": then, "now": f"{kind} {reason}", "is_same": then == f"{kind} {reason}"})
    return told


REHEARSAL_ID = "0" * 24
"""Placeholder for the id that a real remediation would get."""


RECORDED = "recorded_facts"
"""Key of the facts in the form that `plan --facts` reads."""


ReadFacts = Callable[[Policy, Remediation], Awaitable[tuple[Facts, History]]]
"""The current facts, pauses included, and the history from the journal."""


@dataclass(frozen=True, slots=True)
class SimulatedDecision:
    """One policy's decision about one target."""

    policy: Policy
    match: Match
    decision: Decision
    facts: Facts


async def simulate(
    payload: Payload, policy_set: PolicySet, read_facts: ReadFacts, now: float, most: int | None = None
) -> tuple[SimulatedDecision, ...]:
    """The decision for each pair of a policy and a target that matches the firing alerts, each pair once.

    Raises ValueError for more than `most` pairs, before anything is read.
    """
    pairs = {
        (match.policy, match.target): match
        for match in match_alerts(payload, policy_set, now).matches
        if match.alert.is_firing
    }
    if most is not None and len(pairs) > most:
        raise ValueError(f"the alerts make {len(pairs)} pairs of a policy and a target; at most {most} at once")
    found = []
    for match in pairs.values():
        policy = policy_set.named(match.policy)
        if policy is None:
            continue
        remediation = _imagined(match, now)
        facts, history = await read_facts(policy, remediation)
        decision = decide(remediation, policy, policy_set, facts, history, now)
        found.append(SimulatedDecision(policy, match, decision, facts))
    return tuple(found)


def simulation_to_data(rehearsed: tuple[SimulatedDecision, ...]) -> list[dict[str, Any]]:
    """The decisions as JSON-able data."""
    return [
        {"policy": item.policy.name, "mode": item.policy.mode.value, "target": item.match.target.key}
        | decision_data(item.decision, item.facts)
        | {RECORDED: to_data(item.facts)}
        | ({} if not isinstance(item.decision, Act) else _plan_data(item.decision))
        for item in rehearsed
    ]


def _plan_data(decision: Act) -> dict[str, Any]:
    """The plan, its name and its difference."""
    plan = decision.plan
    return {
        "plan": plan_to_data(plan),
        "plan_hash": plan_hash(plan),
        "difference": describe_difference(plan),
    }


def _imagined(match: Match, now: float) -> Remediation:
    """The remediation that the alert would begin."""
    return Remediation(
        id=REHEARSAL_ID,
        policy=match.policy,
        target=match.target,
        state=State.CLAIMED,
        alert=match.alert,
        created_at=now,
        updated_at=now,
        fence=0,
        lease_until=None,
        next_at=now,
    )
