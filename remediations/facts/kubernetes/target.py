"""What the Kubernetes API says about one target: the object, then what its template and selector lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from chassis.errors import BackendError
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.paths import autoscalers_path, disruption_budgets_path, pods_path
from remediations.core.model.alert import Mode, Target
from remediations.core.model.cluster import Autoscaler, Budgets, ObjectChange, Pods, Template, Workload
from remediations.core.model.facts import Fact
from remediations.core.policies.policy import KUBELET, Policy
from remediations.facts.ask import bounded
from remediations.facts.kubernetes.pod_template import references
from remediations.facts.kubernetes.reader import ClusterReader, choose_budgets, deployment_location

T = TypeVar("T")


@dataclass(slots=True)
class Seen:
    """What was found of the target."""

    workload: Fact[Workload]
    autoscalers: Fact[tuple[Autoscaler, ...]]
    budgets: Fact[Budgets]
    ready_pod: Fact[bool]
    changes: Fact[tuple[ObjectChange, ...]]
    template: Fact[Template]
    pods: Fact[Pods]


def unseen(problem: str) -> Seen:
    """Nothing known of the target, and why."""
    return _unseen_at("", problem)


def _unseen_at(place: str, problem: str) -> Seen:
    """Nothing known, asked at this place."""
    lost: Fact[Any] = Fact(None, place, problem)
    return Seen(*[lost] * len(fields(Seen)))


async def survey(cluster: ClusterReader, timeout_seconds: float, policy: Policy, target: Target) -> Seen:
    """Everything that the cluster says about the target, within one deadline.

    What can be asked without having seen the object is asked beside it.
    """
    look = _TargetReader(cluster, policy, target, timeout_seconds)
    async with asyncio.TaskGroup() as group:
        autoscalers = group.create_task(look.autoscalers(), name="fact.autoscalers")
        workload = group.create_task(look.workload(), name="fact.workload")
    seen = workload.result()
    seen.autoscalers = autoscalers.result()
    return seen


class _TargetReader:
    """The questions about one target."""

    def __init__(self, cluster: ClusterReader, policy: Policy, target: Target, timeout_seconds: float) -> None:
        self._cluster = cluster
        self._policy = policy
        self._target = target
        self._until = asyncio.get_running_loop().time() + timeout_seconds

    async def autoscalers(self) -> Fact[tuple[Autoscaler, ...]]:
        """The HorizontalPodAutoscalers that name the target."""
        try:
            place = autoscalers_path(self._target.namespace)
        except BackendError as error:
            return Fact(None, "", f"{error.reason.value}: {error}")
        return await self._read(place, self._cluster.autoscalers)

    async def workload(self) -> Seen:
        """The object, and what its template and selector lead to; without it nothing of that is known."""
        try:
            place = deployment_location(self._target)
            budgets_place = disruption_budgets_path(self._target.namespace)
        except BackendError as error:
            return _unseen_at(self._target.key, f"{error.reason.value}: {error}")
        async with asyncio.TaskGroup() as group:
            budgets = group.create_task(self._read(budgets_place, self._cluster.all_budgets), name="fact.budgets")
            document = await self._read(place, self._cluster.deployment)
            seen = _unseen_at(place, document.problem or "not asked")
            if document.value is not None:
                await self._follow(document.value, place, seen)
        if document.value is not None:
            seen.budgets = _chosen(budgets.result(), document.value)
        return seen

    async def _follow(self, document: JsonObject, place: str, seen: Seen) -> None:
        """What the object leads to, all at the same time."""
        cluster = self._cluster
        async with asyncio.TaskGroup() as group:
            workload = group.create_task(self._read(place, cluster.workload, document), name="fact.spec")
            template = group.create_task(self._read(place, cluster.template, document), name="fact.template")
            changes = group.create_task(self._read(place, cluster.changes, document), name="fact.changes")
            if _needs_pods(self._policy, document):
                group.create_task(self._ask_pods(document, seen), name="fact.pods")
        seen.workload, seen.template, seen.changes = workload.result(), template.result(), changes.result()

    async def _ask_pods(self, document: JsonObject, seen: Seen) -> None:
        """Whether a pod is ready, and how old they are."""
        place = pods_path(self._target.namespace)
        answer = await self._read(place, self._cluster.pod_summary, document)
        if answer.value is None:
            seen.ready_pod = Fact(None, place, answer.problem)
            seen.pods = Fact(None, place, answer.problem)
            return
        seen.ready_pod, seen.pods = Fact(answer.value[0], place), Fact(answer.value[1], place)

    async def _read(self, place: str, question: Callable[..., Awaitable[T]], *more: object) -> Fact[T]:
        """A question about the target, under what is left of the deadline."""
        left = max(0.05, self._until - asyncio.get_running_loop().time())
        return await bounded(place, left, question(self._target, *more))


def _chosen(items: Fact[list[JsonObject]], document: JsonObject) -> Fact[Budgets]:
    """The budgets that cover the object's pods."""
    if items.value is None:
        return Fact(None, items.source, items.problem)
    try:
        return Fact(choose_budgets(items.value, document), items.source)
    except BackendError as error:
        return Fact(None, items.source, f"{error.reason.value}: {error}")


def _needs_pods(policy: Policy, document: JsonObject) -> bool:
    """Whether anything asks about pods: a witness, a connection budget, the age of a configuration, or evidence."""
    if policy.mode in {Mode.APPROVE, Mode.AUTO}:
        return True
    if policy.connections is not None or any(item.kind in KUBELET for item in policy.witnesses):
        return True
    try:
        return any(references(document["spec"]["template"]))
    except (KeyError, TypeError, AttributeError):
        return True
