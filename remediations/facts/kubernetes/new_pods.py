"""Finds out from readable objects whether the cluster would accept new pods of a Deployment.

It reads the objects that the template names (ServiceAccount, PriorityClass, RuntimeClass), the namespace's quotas and
LimitRanges, and the Deployment's own condition ReplicaFailure. A dry run of the write itself tests Pod Security
(`remediations.execution.pod_security`): only the API server can judge it. Other admission of pods is not known in
advance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from chassis.errors import BackendError, Reason, quote_foreign
from chassis.kubernetes.objects import condition_of, find_condition
from chassis.kubernetes.paths import resource_path
from chassis.kubernetes.quantity import parse_quantity
from chassis.output.redaction import remove_secrets
from remediations.core.model.cluster import NewPods

if TYPE_CHECKING:
    from chassis.kubernetes.client import JsonObject
    from remediations.facts.kubernetes.reader import ClusterReader

MAX_QUOTED = 300
"""Characters of a refusal that are shown."""
COMPUTE = ("cpu", "memory", "ephemeral-storage")
NAMED = ("cpu", "memory")
"""Fields that a quota requires of every container: for other resources it counts only the given ones (Kubernetes,
pkg/quota/v1/evaluator/core/pods.go, `validationSet`)."""
Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Container:
    """The resources of one container of a new pod, with defaults of the namespace."""

    name: str
    requests: Amounts
    limits: Amounts
    runs_beside: bool = True
    """Whether it runs at the same time as the others: false for an init container that ends."""


async def read_new_pods(reader: ClusterReader, namespace: str, document: JsonObject) -> NewPods:
    """Every obstacle to new pods; raises KeyError, TypeError or ValueError for an unexpected shape."""
    spec = document["spec"]["template"]["spec"]
    async with asyncio.TaskGroup() as group:
        lists = {
            kind: group.create_task(_list(reader, namespace, kind), name=f"new_pods.{kind}")
            for kind in ("resourcequotas", "limitranges")
        }
        named = [group.create_task(_find(reader, what, path), name="new_pods.object") for what, path in _named(spec)]
        named.append(group.create_task(_find_account(reader, namespace, spec), name="new_pods.account"))
    unread = [found for task in lists.values() if isinstance(found := task.result(), str)]
    objects = [task.result() for task in named]
    ranges, quotas = lists["limitranges"].result(), lists["resourcequotas"].result()
    if spec.get("resources"):  # Kubernetes 1.34: they replace those of the containers
        unread.append("quotas and LimitRanges: resources of the pod as a whole are not checked")
        ranges = quotas = ""
    items = [] if isinstance(ranges, str) else [each for item in ranges for each in item["spec"].get("limits") or ()]
    containers = _containers(spec, items)
    judged = _judge_quotas(quotas, containers, knows_defaults=not isinstance(ranges, str))
    return NewPods(
        (*_failures(document), *(text for text, is_known in objects if is_known and text),
         *_break_ranges(items, containers), *judged.refusals),
        judged.crowded,
        (*unread, *(text for text, is_known in objects if not is_known), *judged.unread),
    )  # fmt: skip


def _named(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The cluster-wide objects that the template names, each with its path."""
    return [
        (f"{kind} {spec[key]}", resource_path(group, plural, name=spec[key]))
        for kind, key, group, plural in (
            ("PriorityClass", "priorityClassName", "scheduling.k8s.io/v1", "priorityclasses"),
            ("RuntimeClass", "runtimeClassName", "node.k8s.io/v1", "runtimeclasses"),
        )
        if spec.get(key)
    ]


async def _find_account(reader: ClusterReader, namespace: str, spec: Mapping[str, Any]) -> tuple[str, bool]:
    """The same as `_find` for the template's ServiceAccount; Kubernetes always recreates `default`.

    ServiceAccounts are listed, because rights on a name cannot be granted before the name is known.
    """
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    if name == "default":
        return "", True
    path, what = resource_path("v1", "serviceaccounts", namespace=namespace), f"ServiceAccount {name}"
    try:
        items = await reader.list(path, fields=f"metadata.name={name}")
    except BackendError as error:
        return f"{what}: {error.reason.value}", False
    is_there = any(item["metadata"]["name"] == name for item in items)
    return ("" if is_there else f"{what} does not exist"), True


async def _find(reader: ClusterReader, what: str, path: str) -> tuple[str, bool]:
    """The obstacle to new pods that need this object, as text or empty, and whether that is known."""
    try:
        await reader.get(path)
    except BackendError as error:
        if error.reason is Reason.MISSING:
            return f"{what} does not exist", True
        return f"{what}: {error.reason.value}", False
    return "", True


async def _list(reader: ClusterReader, namespace: str, plural: str) -> Sequence[JsonObject] | str:
    """The objects of this kind in the namespace, or why they cannot be read."""
    try:
        return await reader.list(resource_path("v1", plural, namespace=namespace))
    except BackendError as error:
        return f"{plural}: {error.reason.value}"


def _failures(document: JsonObject) -> list[str]:
    """That the API server is refusing pods of the Deployment's controller now."""
    if not condition_of(document, "ReplicaFailure"):
        return []
    failure = find_condition(document, "ReplicaFailure")
    message = quote_foreign(str(failure.get("message") or ""), remove_secrets, MAX_QUOTED)
    return [f"ReplicaFailure ({failure.get('reason')}): {message}"]


def _containers(spec: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> list[Container]:
    """The pod's containers after admission: a missing request is the limit, then LimitRanges fill in."""
    defaults = [each for each in items if each["type"] == "Container"]
    found = []
    for container, is_init in (
        *((each, False) for each in spec["containers"]),
        *((each, True) for each in spec.get("initContainers") or ()),
    ):
        given = container.get("resources") or {}
        limits, requests = _amounts(given.get("limits")), _amounts(given.get("requests"))
        requests = {**limits, **requests}
        for each in defaults:
            limits = {**_amounts(each.get("default")), **limits}
            requests = {**_amounts(each.get("defaultRequest")), **requests}
        runs_beside = not is_init or container.get("restartPolicy") == "Always"
        found.append(Container(container["name"], requests, limits, runs_beside))
    return found


def _amounts(given: Mapping[str, Any] | None) -> dict[str, Decimal]:
    """Quantities by name."""
    return {name: parse_quantity(str(value)) for name, value in (given or {}).items()}


def _break_ranges(items: Iterable[Mapping[str, Any]], containers: Sequence[Container]) -> list[str]:
    """What LimitRanges of the namespace (core/v1) would refuse."""
    found: list[str] = []
    for item in items:
        if item["type"] == "Container":
            found += [words for each in containers for words in _break(item, each.name, each.requests, each.limits)]
        elif item["type"] == "Pod":
            found += _break(item, "the pod", _sum(containers, "requests"), _sum(containers, "limits"))
    return found


def _break(item: Mapping[str, Any], who: str, requests: Amounts, limits: Amounts) -> Iterable[str]:
    """The violations of one limit by a container, or by a whole pod."""
    for name, most in _amounts(item.get("max")).items():
        amount = max((each[name] for each in (requests, limits) if name in each), default=None)
        if amount is None or name not in limits:
            yield f"LimitRange: {who} has no limit of {name}"
        elif amount > most:
            yield f"LimitRange: {who} requests {_show(amount)} of {name}, at most {_show(most)} is allowed"
    for name, least in _amounts(item.get("min")).items():
        amount = min((each[name] for each in (requests, limits) if name in each), default=None)
        if amount is None or name not in requests:
            yield f"LimitRange: {who} has no request of {name}"
        elif amount < least:
            yield f"LimitRange: {who} requests {_show(amount)} of {name}, at least {_show(least)} is needed"
    for name, ratio in _amounts(item.get("maxLimitRequestRatio")).items():
        if requests.get(name) and name in limits and limits[name] / requests[name] > ratio:  # a dict  # nosec B113
            yield f"LimitRange: limit over request of {name} of {who} is above {ratio}"


def _sum(containers: Sequence[Container], kind: str) -> dict[str, Decimal]:
    """The resources of the whole pod: the sum of concurrent containers, or of a larger one that runs before them."""
    total: dict[str, Decimal] = {}
    for container in containers:
        if container.runs_beside:
            for name, amount in getattr(container, kind).items():
                total[name] = total.get(name, Decimal(0)) + amount
    for container in containers:
        if not container.runs_beside:
            for name, amount in getattr(container, kind).items():
                total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _judge_quotas(
    quotas: Sequence[JsonObject] | str, containers: Sequence[Container], *, knows_defaults: bool
) -> NewPods:
    """The obstacles from the namespace's ResourceQuotas (core/v1) to one more pod; none if they cannot be read."""
    refusals, crowded, unread = [], [], []
    needed = _need(containers)
    for quota in [] if isinstance(quotas, str) else quotas:
        name, spec, status = f"ResourceQuota {quota['metadata']['name']}", quota["spec"], quota.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            unread.append(f"{name}: it has scopes, which are not checked")
            continue
        used = _amounts(status.get("used"))
        for what, most in _amounts(status.get("hard") or spec.get("hard")).items():
            taken, more = used.get(what, Decimal(0)), needed.get(what, Decimal(0))
            if knows_defaults and not _is_named(what, containers):
                refusals.append(f"{name} requires {what} of every container")
            elif more and taken > most:
                refusals.append(f"{name}: {_show(taken)} of {_show(most)} {what} are used")
            elif more and taken + more > most:
                crowded.append(f"{name}: {_show(taken)} of {_show(most)} {what} are used, {_show(more)} more needed")
    return NewPods(tuple(refusals), tuple(crowded), tuple(unread))


def _is_named(what: str, containers: Sequence[Container]) -> bool:
    """Whether every container gives a resource that a quota requires; True for other quotas."""
    kind = _kind(what)
    return kind is None or all(kind[1] in getattr(each, kind[0]) for each in containers)


def _show(amount: Decimal) -> str:
    """The number as people write it."""
    return f"{amount.normalize():f}"


def _kind(what: str) -> tuple[str, str] | None:
    """Field and resource that a quota requires of every container; None for other quotas."""
    prefix, _, rest = what.partition(".")
    if what in NAMED:
        return "requests", what
    return (prefix, rest) if prefix in {"requests", "limits"} and rest in NAMED else None


def _need(containers: Sequence[Container]) -> dict[str, Decimal]:
    """One pod's usage of a quota, by the quota's resource name."""
    requests, limits = _sum(containers, "requests"), _sum(containers, "limits")
    return (
        {"pods": Decimal(1), "count/pods": Decimal(1)}
        | {name: amount for name, amount in requests.items() if name in COMPUTE}
        | {f"requests.{name}": amount for name, amount in requests.items()}
        | {f"limits.{name}": amount for name, amount in limits.items()}
    )
