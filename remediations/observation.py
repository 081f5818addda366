"""What is seen of a written remediation at one moment: asked under one deadline, and kept in the journal as data.

All observations since the write are read back from the journal at every look, so a verification that was interrupted
goes on with everything that had been seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chassis.errors import BackendError
from chassis.kubernetes import autoscalers_path
from remediations.cluster import deployment_location
from remediations.decision import Plan
from remediations.effects import ASKED, ask_effect
from remediations.journal.port import JournalError, Record
from remediations.model import Fact
from remediations.policy import Policy
from remediations.sighting import Lookout
from remediations.sources import Sources, asked, bounded
from remediations.verify import CALLED, Observation
from remediations.workload import Autoscaler, Workload

KIND = "observation"
NOWHERE = Lookout()
UNASKED: Fact[Any] = Fact(None, "", "not asked")


@dataclass(slots=True)
class _Answers:
    """Facts as they come in."""

    verify: Fact[bool] = field(default_factory=lambda: UNASKED)
    condition: Fact[bool] = field(default_factory=lambda: UNASKED)
    workload: Fact[Workload] = field(default_factory=lambda: UNASKED)
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: UNASKED)
    effect: Fact[bool] = field(default_factory=lambda: UNASKED)


async def observe(sources: Sources, policy: Policy, plan: Plan, at: float, lookout: Lookout = NOWHERE) -> Observation:
    """Asks the policy's two queries and the part of the cluster that the plan changes; `at` is now, Unix seconds."""
    answers = _Answers()
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_queries(sources, policy, answers), name="observation.queries")
        group.create_task(_ask_cluster(sources, plan, answers, lookout), name="observation.cluster")
    return Observation(at, answers.verify, answers.condition, answers.workload, answers.autoscalers, answers.effect)


async def _ask_queries(sources: Sources, policy: Policy, answers: _Answers) -> None:
    answers.verify = await asked(sources, policy.verify)
    answers.condition = await asked(sources, policy.condition)


async def _ask_cluster(sources: Sources, plan: Plan, answers: _Answers, lookout: Lookout) -> None:
    """The Deployment, or the autoscalers, whichever the plan expects to change."""
    cluster, target = sources.cluster, plan.target
    effect = plan.expected.get("effect")
    if effect == CALLED:
        return
    if effect in ASKED:
        answers.effect = await _effect(sources, plan, lookout)
        return
    try:
        place, scalers_place = deployment_location(target), autoscalers_path(target.namespace)
    except BackendError as error:
        answers.workload = Fact(None, target.key, str(error))
        return
    if cluster is None:
        answers.workload = Fact(None, place, "no orchestrator is configured")
    elif plan.expected.get("effect") == "autoscaler":
        answers.autoscalers = await bounded(scalers_place, sources.timeout_seconds, cluster.autoscalers(target))
    else:
        answers.workload = await bounded(place, sources.timeout_seconds, cluster.rollout(target))


async def _effect(sources: Sources, plan: Plan, lookout: Lookout) -> Fact[bool]:
    """Whether the effect is complete, asked under the deadline."""
    found = await bounded(plan.target.key, sources.timeout_seconds, ask_effect(lookout, plan))
    return found.value if found.value is not None else Fact(None, found.source, found.problem)


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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(f"a stored observation cannot be read: {error!r}") from error


def _workload(data: Mapping[str, Any]) -> Workload:
    """The workload as it was stored: JSON knows no tuples."""
    return Workload(**{**data, "replicas_managers": tuple(data.get("replicas_managers", ()))})


def _fact(data: Mapping[str, Any], value: Any) -> Fact[Any]:
    """A fact as it was stored, around its value."""
    return Fact(value, data["source"], data["problem"], data["collected_at"])
