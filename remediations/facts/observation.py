"""One observation after a write: read under one deadline, and stored in the journal as data.

All observations since the write are read from the journal each time, so an interrupted verification continues with all
of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from chassis.errors import BackendError
from chassis.kubernetes.paths import autoscalers_path
from remediations.core.codec import read_stored
from remediations.core.model.cluster import Autoscaler, Workload
from remediations.core.model.facts import NO_ORCHESTRATOR, Fact
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Record
from remediations.core.policies.policy import Policy
from remediations.core.verdict import CALLED, Observation
from remediations.facts.ask import asked, bounded
from remediations.facts.kubernetes.effects import ASKED, read_effect
from remediations.facts.kubernetes.workload import deployment_location, read_autoscalers, read_rollout
from remediations.facts.sources import FactSources

KIND = "observation"
UNASKED: Fact[Any] = Fact(None, "", "not asked")


@dataclass(slots=True)
class _ObservedAnswers:
    """Facts as they arrive."""

    verify: Fact[bool] = field(default_factory=lambda: UNASKED)
    condition: Fact[bool] = field(default_factory=lambda: UNASKED)
    workload: Fact[Workload] = field(default_factory=lambda: UNASKED)
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: UNASKED)
    effect: Fact[bool] = field(default_factory=lambda: UNASKED)
    kept: Fact[bool] = field(default_factory=lambda: UNASKED)


async def observe(sources: FactSources, policy: Policy, plan: Plan, at: float) -> Observation:
    """Runs the policy's two queries and reads the part of the cluster that the plan changes; `at` is now, Unix seconds.

    The sources must not be those of a decision: an observation reads the current state.
    """
    answers = _ObservedAnswers()
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_queries(sources, policy, answers), name="observation.queries")
        group.create_task(_ask_cluster(sources, plan, answers), name="observation.cluster")
    return Observation(at, **{item.name: getattr(answers, item.name) for item in fields(answers)})


async def _ask_queries(sources: FactSources, policy: Policy, answers: _ObservedAnswers) -> None:
    answers.verify = await asked(sources, policy.verify)
    answers.condition = await asked(sources, policy.condition)


async def _ask_cluster(sources: FactSources, plan: Plan, answers: _ObservedAnswers) -> None:
    """The Deployment or the autoscalers, depending on what the plan changes."""
    cluster, target = sources.cluster, plan.target
    effect = plan.expected.get("effect")
    if effect == CALLED:
        return
    if effect in ASKED:
        answers.effect, answers.kept = await _effect(sources, plan)
        return
    try:
        place, scalers_place = deployment_location(target), autoscalers_path(target.namespace)
    except BackendError as error:
        answers.workload = Fact(None, target.key, str(error))
        return
    if cluster is None:
        answers.workload = Fact(None, place, NO_ORCHESTRATOR)
    elif effect == "autoscaler":
        answers.autoscalers = await bounded(scalers_place, sources.timeout_seconds, read_autoscalers(cluster, target))
    else:
        answers.workload = await bounded(place, sources.timeout_seconds, read_rollout(cluster, target))


async def _effect(sources: FactSources, plan: Plan) -> tuple[Fact[bool], Fact[bool]]:
    """Whether the effect is complete and still in place, read under the deadline."""
    source = f"{plan.expected.get('effect')} of {plan.target.key}"
    if sources.cluster is None:
        lost: Fact[bool] = Fact(None, source, NO_ORCHESTRATOR)
        return lost, lost
    found = await bounded(source, sources.timeout_seconds, read_effect(sources.cluster, plan))
    if found.value is None:
        lost = Fact(None, source, found.problem)
        return lost, lost
    return Fact(found.value.is_complete, source), Fact(found.value.is_kept, source)


def from_records(records: Sequence[Record]) -> tuple[Observation, ...]:
    """The observations among a remediation's records, oldest first; raises JournalError for one that cannot be read."""
    return tuple(
        read_stored(Observation, record.data.get(KIND), "record", record.number, f"data.{KIND}")
        for record in records
        if record.kind == KIND
    )
