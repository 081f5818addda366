"""Gathers concurrently what one decision needs: facts, action facts, and evidence of what it may destroy.

Nothing is fetched twice for one decision: all three read the cluster through one cache.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Alert, Mode, Target
from remediations.core.model.facts import NO_ORCHESTRATOR, ActionFacts, Fact, Facts, Need
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import KUBELET, Policy, PolicySet, WitnessKind, at_rung
from remediations.facts import evidence
from remediations.facts.kubernetes.action_facts import read_needs
from remediations.facts.kubernetes.target import Seen, survey, unseen
from remediations.facts.queries import Answers, ask_all
from remediations.facts.sources import FactSources


async def gather_facts(
    sources: FactSources, policy: Policy, policy_set: PolicySet, target: Target, alert: Alert | None = None
) -> Facts:
    """Every fact that the policy's guards and action may need, except the pauses and our own start.

    Nothing is read about a target outside the policy's list, because its name comes from an alert.
    """
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ask_all(sources, policy, policy_set, alert), name="facts.answers")
        looked = group.create_task(_read_target(sources, policy, target), name="facts.target")
    answers, seen = asked.result(), looked.result()
    for witness in policy.witnesses:
        if witness.kind in KUBELET:
            answers.witnesses[witness.name] = _of_kubelet(witness.kind, seen.ready_pod)
    return _facts(answers, seen, has_orchestrator=sources.cluster is not None)


async def _read_target(sources: FactSources, policy: Policy, target: Target) -> Seen:
    """The cluster's facts about the target."""
    if sources.cluster is None:
        return unseen(NO_ORCHESTRATOR)
    if not policy.lists(target):
        return unseen("not asked")
    return await survey(sources.cluster, sources.timeout_seconds, policy, target)


def _facts(answers: Answers, seen: Seen, *, has_orchestrator: bool) -> Facts:
    """The gathered facts as one value."""
    return Facts(
        condition=answers.condition,
        dependencies=answers.dependencies,
        witnesses=answers.witnesses,
        workload=seen.workload,
        has_orchestrator=has_orchestrator,
        autoscalers=seen.autoscalers,
        budgets=seen.budgets,
        mutes=answers.mutes,
        changes=seen.changes,
        template=seen.template,
        pods=seen.pods,
        connection_limit=answers.connection_limit,
        locks=answers.locks,
        custom=answers.custom,
    )


def _of_kubelet(kind: WitnessKind, ready: Fact[bool]) -> Fact[bool]:
    """The kubelet's result: for `pods_running` that a pod is Ready, for `pods_ready` that none is."""
    if ready.value is None or kind is WitnessKind.PODS_RUNNING:
        return ready
    return Fact(not ready.value, ready.source, ready.problem)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence, and the object that it is about."""

    target: Target
    pod: str | None
    """The one pod that would be stopped; None for the whole target."""
    data: dict[str, Any]

    def is_for(self, plan: Plan) -> bool:
        """Whether the plan would destroy the object of this evidence."""
        return (plan.target, plan.expected.get("pod")) == (self.target, self.pod)


@dataclass(frozen=True, slots=True)
class GatheredFacts:
    """The result of gathering for one decision."""

    facts: Facts
    """All facts but the pauses and our own start."""
    kept: Evidence | None
    """Evidence, if it was gathered before the decision."""
    sources: FactSources
    """The sources of this decision, for further evidence."""

    async def collect_evidence(self, plan: Plan) -> Evidence:
        """Evidence for this plan."""
        return await _collect_evidence(self.sources, plan.target, plan.expected.get("pod"))


async def gather(
    sources: FactSources, policies: tuple[Policy, PolicySet], remediation: Remediation, now: float
) -> GatheredFacts:
    """The facts, and concurrently evidence for a remediation that is decided for the first time and may act.

    A remediation that was held before will most likely be held again; its evidence is gathered after the plan.
    """
    policy, policy_set = policies
    target = remediation.target
    sources = sources.for_decision()
    async with asyncio.TaskGroup() as group:
        facts = group.create_task(gather_facts(sources, policy, policy_set, target, remediation.alert), name="facts")
        sights = group.create_task(read_action_facts(sources, policy, target, now), name="sights")
        is_early = policy.mode is Mode.AUTO and not remediation.reason and Need.PODS not in _needs(policy)
        early = group.create_task(_collect_evidence(sources, target, None), name="evidence") if is_early else None
    kept = None if early is None else early.result()
    return GatheredFacts(replace(facts.result(), sights=sights.result()), kept, sources)


async def read_action_facts(sources: FactSources, policy: Policy, target: Target, now: float) -> ActionFacts:
    """The action facts for the policy and its rungs."""
    rungs = _rungs(policy)
    needs = _needs(policy)
    if not needs or target not in {item for rung in rungs for item in rung.targets}:
        return ActionFacts()
    idle = next((rung.parameters["idle_seconds"] for rung in rungs if "idle_seconds" in rung.parameters), 600.0)
    return await read_needs(sources, needs, target, now, float(idle))


def _rungs(policy: Policy) -> list[Policy]:
    """The policy as it is on each rung of its ladder."""
    return [at_rung(policy, number) for number in range(1 + len(policy.ladder))]


def _needs(policy: Policy) -> frozenset[Need]:
    """The needs of all rungs' actions."""
    specs = [ACTIONS[rung.action] for rung in _rungs(policy) if rung.action in ACTIONS]
    return frozenset(need for spec in specs for need in spec.needs)


async def _collect_evidence(sources: FactSources, target: Target, pod: str | None) -> Evidence:
    return Evidence(target, pod, await evidence.gather(sources, target, pod))
