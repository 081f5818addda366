"""Reads one target from the Kubernetes API, each query as a separate fact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

from chassis.errors import BackendError
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.objects import is_ready, reading
from chassis.kubernetes.paths import autoscalers_path, disruption_budgets_path, pods_path
from remediations.core.model.alert import Mode, Target
from remediations.core.model.cluster import Autoscaler, Budgets, ObjectChange, Pods, Template, Workload
from remediations.core.model.facts import Fact
from remediations.core.policies.policy import KUBELET, Policy
from remediations.facts.ask import bounded, describe
from remediations.facts.kubernetes.pod_template import read_pods, references
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.kubernetes.workload import (
    deployment_location,
    list_pods,
    read_autoscalers,
    read_budgets,
    read_deployment,
    read_object_changes,
    read_template,
    read_workload,
)

T = TypeVar("T")


@dataclass(slots=True)
class Seen:
    """The facts about the target."""

    workload: Fact[Workload]
    autoscalers: Fact[tuple[Autoscaler, ...]]
    budgets: Fact[Budgets]
    ready_pod: Fact[bool]
    changes: Fact[tuple[ObjectChange, ...]]
    template: Fact[Template]
    pods: Fact[Pods]


def unseen(problem: str, place: str = "") -> Seen:
    """Facts without values, with the reason."""
    lost: Fact[Any] = Fact(None, place, problem)
    return Seen(*[lost] * len(fields(Seen)))


async def survey(reader: ClusterReader, timeout_seconds: float, policy: Policy, target: Target) -> Seen:
    """All facts of the cluster about the target, read concurrently under one deadline.

    With a decision's reader the queries share their reads: the object itself is fetched once.
    """
    try:
        itself, namespace = deployment_location(target), target.namespace
        places = autoscalers_path(namespace), disruption_budgets_path(namespace), pods_path(namespace)
    except BackendError as error:
        return unseen(describe(error), target.key)

    def as_fact(place: str, question: Callable[[ClusterReader, Target], Awaitable[T]]) -> Coroutine[Any, Any, Fact[T]]:
        return bounded(place, timeout_seconds, question(reader, target))

    async with asyncio.TaskGroup() as group:
        workload = group.create_task(as_fact(itself, read_workload), name="fact.workload")
        autoscalers = group.create_task(as_fact(places[0], read_autoscalers), name="fact.autoscalers")
        budgets = group.create_task(as_fact(places[1], read_budgets), name="fact.budgets")
        changes = group.create_task(as_fact(itself, read_object_changes), name="fact.changes")
        template = group.create_task(as_fact(itself, read_template), name="fact.template")
        asked = group.create_task(as_fact(places[2], partial(_summarise_pods, policy)), name="fact.pods")
    pods = asked.result()
    serves, ages = pods.value or (None, None)
    problem = "" if ages is not None else pods.problem or "not asked"
    return Seen(
        workload.result(),
        autoscalers.result(),
        budgets.result(),
        Fact(serves, pods.source, problem),
        changes.result(),
        template.result(),
        Fact(ages, pods.source, problem),
    )


async def _summarise_pods(policy: Policy, reader: ClusterReader, target: Target) -> tuple[bool | None, Pods | None]:
    """Whether a pod of the Deployment serves, and the age and number of its pods; None if nothing needs it."""
    if not _needs_pods(policy, await read_deployment(reader, target)):
        return None, None
    items = await list_pods(reader, target)
    with reading("Pod"):
        return any(is_ready(item) for item in items), read_pods(items)


def _needs_pods(policy: Policy, document: JsonObject) -> bool:
    """Whether anything needs the pods: a witness, a connection budget, the age of a configuration, or evidence."""
    if policy.mode in {Mode.APPROVE, Mode.AUTO}:
        return True
    if policy.connections is not None or any(item.kind in KUBELET for item in policy.witnesses):
        return True
    try:
        return any(references(document["spec"]["template"]))
    except (KeyError, TypeError, AttributeError):
        return True
