"""What is seen of a written remediation at one moment: asked under one deadline, and kept in the journal as data.

All observations since the write are read back from the journal at every look, so a verification that was interrupted
goes on with everything that had been seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from chassis.errors import BackendError
from chassis.kubernetes.paths import autoscalers_path
from remediations.core.model.cluster import Autoscaler, Workload
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import NO_ORCHESTRATOR, Fact
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Record
from remediations.core.policies.policy import Policy
from remediations.core.verdict import CALLED, Observation
from remediations.facts.ask import asked, bounded
from remediations.facts.kubernetes.action_facts import ActionFactReader
from remediations.facts.kubernetes.effects import ASKED, ask_effect
from remediations.facts.kubernetes.reader import deployment_location
from remediations.facts.sources import FactSources

KIND = "observation"
NOWHERE = ActionFactReader()
UNASKED: Fact[Any] = Fact(None, "", "not asked")


@dataclass(slots=True)
class _ObservedAnswers:
    """Facts as they come in."""

    verify: Fact[bool] = field(default_factory=lambda: UNASKED)
    condition: Fact[bool] = field(default_factory=lambda: UNASKED)
    workload: Fact[Workload] = field(default_factory=lambda: UNASKED)
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: UNASKED)
    effect: Fact[bool] = field(default_factory=lambda: UNASKED)
    kept: Fact[bool] = field(default_factory=lambda: UNASKED)


async def observe(
    sources: FactSources, policy: Policy, plan: Plan, at: float, reader: ActionFactReader = NOWHERE
) -> Observation:
    """Asks the policy's two queries and the part of the cluster that the plan changes; `at` is now, Unix seconds."""
    answers = _ObservedAnswers()
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_queries(sources, policy, answers), name="observation.queries")
        group.create_task(_ask_cluster(sources, plan, answers, reader), name="observation.cluster")
    return Observation(at, **{item.name: getattr(answers, item.name) for item in fields(answers)})


async def _ask_queries(sources: FactSources, policy: Policy, answers: _ObservedAnswers) -> None:
    answers.verify = await asked(sources, policy.verify)
    answers.condition = await asked(sources, policy.condition)


async def _ask_cluster(sources: FactSources, plan: Plan, answers: _ObservedAnswers, reader: ActionFactReader) -> None:
    """The Deployment, or the autoscalers, whichever the plan expects to change."""
    cluster, target = sources.cluster, plan.target
    effect = plan.expected.get("effect")
    if effect == CALLED:
        return
    if effect in ASKED:
        answers.effect, answers.kept = await _effect(sources, plan, reader)
        return
    try:
        place, scalers_place = deployment_location(target), autoscalers_path(target.namespace)
    except BackendError as error:
        answers.workload = Fact(None, target.key, str(error))
        return
    if cluster is None:
        answers.workload = Fact(None, place, NO_ORCHESTRATOR)
    elif plan.expected.get("effect") == "autoscaler":
        answers.autoscalers = await bounded(scalers_place, sources.timeout_seconds, cluster.autoscalers(target))
    else:
        answers.workload = await bounded(place, sources.timeout_seconds, cluster.rollout(target))


async def _effect(sources: FactSources, plan: Plan, reader: ActionFactReader) -> tuple[Fact[bool], Fact[bool]]:
    """Whether the effect is complete, and whether it still stands, asked under the deadline."""
    asked_for = await bounded(plan.target.key, sources.timeout_seconds, ask_effect(reader, plan))
    found = asked_for.value
    if found is None or found.value is None:
        lost: Fact[bool] = Fact(None, asked_for.source, asked_for.problem if found is None else found.problem)
        return lost, lost
    return Fact(found.value.is_complete, found.source), Fact(found.value.is_kept, found.source)


def to_data(observation: Observation) -> dict[str, Any]:
    """The observation as JSON-able data; `from_records` gives an equal one."""
    data = asdict(observation)
    data["autoscalers"]["value"] = (
        None if observation.autoscalers.value is None else [asdict(item) for item in observation.autoscalers.value]
    )
    return data


def from_records(records: Sequence[Record]) -> tuple[Observation, ...]:
    """The observations among a remediation's records, oldest first; raises JournalError for one that cannot be read."""
    return tuple(_from_data(record.data["observation"]) for record in records if record.kind == KIND)


def _from_data(data: Mapping[str, Any]) -> Observation:
    """One observation as it was stored."""
    try:
        workload, autoscalers = data["workload"], data["autoscalers"]
        seen, scalers = workload["value"], autoscalers["value"]
        return Observation(
            at=float(data["at"]),
            verify=_fact(data["verify"], data["verify"]["value"]),
            condition=_fact(data["condition"], data["condition"]["value"]),
            workload=_fact(workload, None if seen is None else _workload(seen)),
            autoscalers=_fact(autoscalers, None if scalers is None else tuple(Autoscaler(**item) for item in scalers)),
            effect=_fact(data["effect"], data["effect"]["value"]) if "effect" in data else UNASKED,
            kept=_fact(data["kept"], data["kept"]["value"]) if "kept" in data else UNASKED,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"a stored observation cannot be read: {error!r}") from error


def _workload(data: Mapping[str, Any]) -> Workload:
    """The workload as it was stored: JSON knows no tuples."""
    lists = {name: tuple(data.get(name, ())) for name in ("replicas_managers", "replicas_scalers")}
    return Workload(**{**data, **lists})


def _fact(data: Mapping[str, Any], value: Any) -> Fact[Any]:
    """A fact as it was stored, around its value."""
    return Fact(value, data["source"], data["problem"], data["collected_at"])
