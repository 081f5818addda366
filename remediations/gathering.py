"""Gathers what one decision needs, side by side: facts, what its actions look at, and evidence for what it may destroy.

Nothing is fetched twice for one decision: facts, sights and evidence read the cluster through one memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from remediations import evidence
from remediations.core.decide import ACTIONS
from remediations.core.model.action_facts import Need, Sights
from remediations.core.model.alert import Mode, Target
from remediations.core.model.facts import Facts
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import Policy, PolicySet, at_rung
from remediations.facts import gather_facts
from remediations.sighting import Lookout
from remediations.sources import Sources


@dataclass(frozen=True, slots=True)
class Kept:
    """Evidence, and what it was looked for."""

    target: Target
    pod: str | None
    """The one pod that would be destroyed; None for all of the target."""
    data: dict[str, Any]

    def is_for(self, plan: Plan) -> bool:
        """Whether the plan would destroy what the evidence is about."""
        return (plan.target, plan.expected.get("pod")) == (self.target, self.pod)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found for one decision."""

    facts: Facts
    """All but the pauses and our own start."""
    kept: Kept | None
    """Evidence, where it could be looked for before anything was decided."""
    lookout: Lookout
    """Where more evidence is looked for."""

    async def keep(self, plan: Plan) -> Kept:
        """Evidence for this plan."""
        return await _keep(self.lookout, plan.target, plan.expected.get("pod"))


async def gather(
    sources: Sources, lookout: Lookout, policies: tuple[Policy, PolicySet], remediation: Remediation, now: float
) -> Gathered:
    """Facts and sights, and beside them evidence for a remediation that is decided for the first time and may act.

    One that has been held before is most likely held again: for that one evidence waits for a plan.
    """
    policy, policy_set = policies
    target = remediation.target
    sources, lookout = _afresh(sources, lookout)
    async with asyncio.TaskGroup() as group:
        facts = group.create_task(gather_facts(sources, policy, policy_set, target, remediation.alert), name="facts")
        sights = group.create_task(look(lookout, policy, target, now), name="sights")
        is_early = policy.mode is Mode.AUTO and not remediation.reason and Need.PODS not in _needs(policy)
        early = group.create_task(_keep(lookout, target, None), name="evidence") if is_early else None
    kept = None if early is None else early.result()
    return Gathered(replace(facts.result(), sights=sights.result()), kept, lookout)


async def look(lookout: Lookout, policy: Policy, target: Target, now: float) -> Sights:
    """What the actions of the policy, its rungs included, need to know beside the facts."""
    rungs = _rungs(policy)
    needs = _needs(policy)
    if not needs or target not in {item for rung in rungs for item in rung.targets}:
        return Sights()
    idle = next((rung.parameters["idle_seconds"] for rung in rungs if "idle_seconds" in rung.parameters), 600.0)
    return await lookout.look(needs, target, now, float(idle))


def _rungs(policy: Policy) -> list[Policy]:
    """The policy as it is on each rung of its ladder."""
    return [at_rung(policy, number) for number in range(1 + len(policy.ladder))]


def _needs(policy: Policy) -> frozenset[Need]:
    """What the actions of all rungs look at."""
    specs = [ACTIONS[rung.action] for rung in _rungs(policy) if rung.action in ACTIONS]
    return frozenset(need for spec in specs for need in spec.needs)


def _afresh(sources: Sources, lookout: Lookout) -> tuple[Sources, Lookout]:
    """The same for one decision: both read the cluster through one memory, which begins empty."""
    if sources.cluster is None:
        return sources, lookout
    reader, api = sources.cluster.once()
    return replace(sources, cluster=reader), lookout if lookout.api is None else replace(lookout, api=api)


async def _keep(lookout: Lookout, target: Target, pod: str | None) -> Kept:
    return Kept(target, pod, await evidence.gather(lookout, target, pod))
