"""Gathers everything that a decision needs, at the same time and under one deadline.

A question that fails or does not answer in time gives a Fact without value and with the reason; it never keeps the
others from being asked. Nothing here decides and nothing here writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import Fact, Facts, Pause
from remediations.core.policies.policy import KUBELET, Policy, PolicySet, WitnessKind
from remediations.questions import Answers, ask_all
from remediations.sources import Sources
from remediations.survey import Seen, survey, unseen


async def gather_facts(
    sources: Sources, policy: Policy, policy_set: PolicySet, target: Target, alert: Alert | None = None
) -> Facts:
    """Every fact that the policy's guards and action may ask about, except the pauses and our own start.

    Nothing is asked about a target that the policy does not list: its name comes from an alert.
    """
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ask_all(sources, policy, policy_set, alert), name="facts.answers")
        looked = group.create_task(_look(sources, policy, target), name="facts.target")
    answers, seen = asked.result(), looked.result()
    for witness in policy.witnesses:
        if witness.kind in KUBELET:
            answers.witnesses[witness.name] = _of_kubelet(witness.kind, seen.ready_pod)
    return _facts(answers, seen, has_orchestrator=sources.cluster is not None)


async def _look(sources: Sources, policy: Policy, target: Target) -> Seen:
    """What the cluster says about the target."""
    if sources.cluster is None:
        return unseen("no orchestrator is configured")
    if not policy.lists(target):
        return unseen("not asked")
    return await survey(sources.cluster, sources.timeout_seconds, policy, target)


def _facts(answers: Answers, seen: Seen, *, has_orchestrator: bool) -> Facts:
    """What came in, as one value."""
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


def read_pauses(pause_file: Path | None, pauses: Sequence[Pause]) -> tuple[Pause, ...]:
    """The pauses of the journal and the one of the pause file; blocks on the disk.

    A file that cannot be looked at counts as there: whoever put it there wants nothing to happen.
    """
    known = tuple(pauses)
    if pause_file is None:
        return known
    try:
        with pause_file.open(encoding="utf-8", errors="replace") as file:
            reason = file.readline(200).strip()
    except FileNotFoundError:
        return known
    except OSError as error:
        reason = f"cannot look at the pause file: {error.strerror}"
    return (*known, Pause("pause_file", str(pause_file), reason or "the pause file exists", None))


def _of_kubelet(kind: WitnessKind, ready: Fact[bool]) -> Fact[bool]:
    """The kubelet's opinion: of `pods_running` that a pod is Ready, of `pods_ready` that none is."""
    if ready.value is None or kind is WitnessKind.PODS_RUNNING:
        return ready
    return Fact(not ready.value, ready.source, ready.problem)
