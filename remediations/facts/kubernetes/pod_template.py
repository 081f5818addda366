"""Reads from Kubernetes objects what else a restart would change, and who changed them recently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chassis.errors import BackendError, Reason
from chassis.kubernetes.containers import containers_of, has_digest, is_latest
from chassis.kubernetes.objects import is_ending, is_over
from chassis.kubernetes.paths import source_path
from remediations.core.model.cluster import ObjectChange, Pods, TemplateSource
from remediations.core.model.names import ANNOTATION_OPERATION, FIELD_MANAGER
from remediations.core.policies.time_windows import parse_clock

if TYPE_CHECKING:
    from remediations.facts.kubernetes.reader import ClusterReader

FOLLOWER = "kube-controller-manager"
"""Writes what an autoscaler decided; without an autoscaler it writes nothing."""
SCALE = "scale"
"""The subresource by which autoscalers, and people with `kubectl scale`, set a number once; delivery tools do not
use it."""
MARKS = (
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
    ("labels", "argocd.argoproj.io/instance", "Argo CD"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
)
"""Labels and annotations by which a delivery tool marks its objects."""
MANAGED_BY = "app.kubernetes.io/managed-by"
HELM = "Helm"
CONTROLLERS = frozenset({FIELD_MANAGER, "kube-controller-manager"})
"""Field managers whose writes are not changes by others: our own, and the controllers that only follow a change.

If another program runs the controllers (k3s, kubelite), `find_controllers` finds its name."""
Reference = tuple[str, str, bool]
"""Kind, name, and whether the reference is optional."""


def find_delivery(metadata: Mapping[str, Any]) -> str:
    """The tool that delivers the object, or empty."""
    for place, name, tool in MARKS:
        if (metadata.get(place) or {}).get(name):
            return tool
    return HELM if (metadata.get("labels") or {}).get(MANAGED_BY) == HELM else ""


def find_controllers(document: Mapping[str, Any]) -> frozenset[str]:
    """The field managers of the cluster's own controllers: those that set status.observedGeneration.

    It is the name of the program that runs them: kube-controller-manager, k3s, kubelite and others.
    """
    return frozenset(
        str(entry.get("manager", ""))
        for entry in document["metadata"].get("managedFields") or ()
        if entry.get("subresource") == "status"
        and "f:observedGeneration" in ((entry.get("fieldsV1") or {}).get("f:status") or {})
    )


def read_managers(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The field managers that own a field of the specification as part of the whole object (metadata.managedFields).

    Writes through /scale are left out: an autoscaler that is gone does not set the number again.
    """
    entries = _owners(document, field)
    found = {str(entry.get("manager", "somebody")) for entry in entries if entry.get("subresource") != SCALE}
    return tuple(sorted(found - {FOLLOWER} - find_controllers(document)))


def read_scalers(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The field managers that own a field of the specification by a write through /scale."""
    entries = [entry for entry in _owners(document, field) if entry.get("subresource") == SCALE]
    return tuple(sorted({str(entry.get("manager", "somebody")) for entry in entries}))


def _owners(document: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The entries of metadata.managedFields that name the field."""
    entries = document["metadata"].get("managedFields") or ()
    return [entry for entry in entries if f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})]


def read_changes(document: Mapping[str, Any]) -> tuple[ObjectChange, ...] | None:
    """The last changes of an object by others, newest first (metadata.managedFields); None if they are not recorded.

    Kubernetes keeps one time for each manager and way of writing: that of its last real change.
    """
    entries = document["metadata"].get("managedFields")
    if not entries:
        return None
    changes, controllers = [], CONTROLLERS | find_controllers(document)
    for entry in entries:
        at = parse_clock(str(entry.get("time", "")))
        who = str(entry.get("manager", "somebody"))
        subresource = str(entry.get("subresource", ""))
        if at is None or who in controllers or subresource == "status":
            continue
        changes.append(ObjectChange(who, subresource or _parts(entry.get("fieldsV1") or {}), at))
    return tuple(sorted(changes, key=lambda change: change.at, reverse=True))


def _parts(fields: Mapping[str, Any]) -> str:
    """The changed parts of the object, as text: two levels of the field set are enough to recognise them."""
    found = []
    for name, inner in fields.items():
        deeper = [part.removeprefix("f:") for part in (inner or {}) if part.startswith("f:")]
        found += [f"{name.removeprefix('f:')}.{part}" for part in deeper] or [name.removeprefix("f:")]
    return ", ".join(sorted(found)[:5]) or "the object"


def read_rollouts(items: Iterable[Mapping[str, Any]], uid: str) -> Iterator[ObjectChange]:
    """The rollouts of a Deployment that were not ours, newest first (its ReplicaSets' creation).

    A ReplicaSet is ours when its template carries an operation id that the one before it does not.
    """
    own = [
        item for item in items if any(ref.get("uid") == uid for ref in item["metadata"].get("ownerReferences") or ())
    ]
    own.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]))
    changes = []
    before = None
    for item in own:
        mark = (item["spec"]["template"]["metadata"].get("annotations") or {}).get(ANNOTATION_OPERATION)
        at = parse_clock(str(item["metadata"]["creationTimestamp"]))
        if at is not None and (mark is None or mark == before):
            changes.append(ObjectChange(f"ReplicaSet {item['metadata']['name']}", "the pod template", at))
        before = mark
    yield from reversed(changes)


def last_change(document: Mapping[str, Any]) -> float | None:
    """Unix seconds of the last write of an object by anyone, its creation included; None if not recorded."""
    metadata = document["metadata"]
    texts = [metadata.get("creationTimestamp"), *(item.get("time") for item in metadata.get("managedFields") or ())]
    times = [at for at in (parse_clock(str(text)) for text in texts if text) if at is not None]
    return max(times, default=None)


def surge(spec: Mapping[str, Any]) -> int:
    """Pods that a rolling update may add (maxSurge of a Deployment: 25 % by default, percentages rounded up)."""
    return -_scaled(spec, "maxSurge", sign=-1)


def unavailable(spec: Mapping[str, Any]) -> int:
    """Pods that a rolling update may stop before their replacements are ready, never more than spec.replicas.

    maxUnavailable of a Deployment: 25 % by default, percentages rounded down; 1 when it and maxSurge both come to 0,
    because the controller could not begin otherwise (Kubernetes, deployment controller, `ResolveFenceposts`).
    """
    stopped = _scaled(spec, "maxUnavailable", sign=1)
    return min(stopped or int(surge(spec) == 0), int(spec.get("replicas", 1)))


def _scaled(spec: Mapping[str, Any], name: str, *, sign: int) -> int:
    """A number or percentage of spec.replicas in a rolling update, times the sign, rounded down; 0 without one."""
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0
    value = (strategy.get("rollingUpdate") or {}).get(name, "25%")
    if isinstance(value, int):
        return sign * value
    return sign * int(spec.get("replicas", 1)) * int(str(value).removesuffix("%")) // 100


def unpinned_images(template: Mapping[str, Any]) -> tuple[str, ...]:
    """Images that a new pod would pull by a tag, which may now mean another image.

    imagePullPolicy is Always by default for `:latest` and for an image without tag (Kubernetes, "Images").
    """
    return tuple(
        f"{container['name']}: {container['image']}"
        for container in containers_of(template)
        if not has_digest(container["image"]) and _is_always_pulled(container)
    )


def _is_always_pulled(container: Mapping[str, Any]) -> bool:
    """Whether the image is pulled at every start."""
    policy = container.get("imagePullPolicy")
    return bool(policy == "Always") if policy else is_latest(container["image"])


async def read_sources(
    reader: ClusterReader, namespace: str, template: Mapping[str, Any]
) -> tuple[TemplateSource, ...]:
    """The template's ConfigMaps and Secrets with the time of their last change.

    An unreadable object is a source with a problem, so that only decisions that need it hold.
    """
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_source(reader, namespace, reference), name="fact.template.source")
            for reference in sorted(set(references(template)))
        ]
    sources = (task.result() for task in asked)
    return tuple(source for source in sources if source is not None)


async def _source(reader: ClusterReader, namespace: str, reference: Reference) -> TemplateSource | None:
    """When one ConfigMap or Secret changed last; None for an optional one that does not exist."""
    kind, name, is_optional = reference
    try:
        document = await reader.get(source_path(kind, namespace, name))
    except BackendError as error:
        if error.reason is Reason.MISSING and is_optional:
            return None
        return TemplateSource(f"{kind}/{name}", None, error.reason.value)
    changed_at = last_change(document)
    return TemplateSource(f"{kind}/{name}", changed_at, "" if changed_at is not None else "its age is unknown")


def references(template: Mapping[str, Any]) -> Iterator[Reference]:
    """The ConfigMaps and Secrets that a pod of the template reads: by env, envFrom and volumes."""
    for container in containers_of(template):
        for entry in container.get("env") or ():
            yield from _by_key(entry.get("valueFrom") or {}, "KeyRef", "name")
        for entry in container.get("envFrom") or ():
            yield from _by_key(entry, "Ref", "name")
    for volume in template["spec"].get("volumes") or ():
        for place in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _by_key(place, "", "name")


def _by_key(place: Mapping[str, Any], suffix: str, name: str) -> Iterator[Reference]:
    """The references of one source; a Secret volume names its object in `secretName`, all others in `name`."""
    for kind, key in (("ConfigMap", f"configMap{suffix}"), ("Secret", f"secret{suffix}")):
        found = place.get(key)
        if found:
            yield kind, found.get(name) or found["secretName"], bool(found.get("optional", False))


def read_pods(items: Iterable[Mapping[str, Any]]) -> Pods:
    """The age of the oldest pod and the number of terminating ones (core/v1 PodList). Finished pods do not count.

    An evicted pod stays in the list as Failed until it is removed: it runs nothing and holds no connection.
    """
    started: list[float] = []
    terminating = 0
    for item in items:
        if is_over(item):
            continue
        if is_ending(item):
            terminating += 1
            continue
        at = parse_clock(str((item.get("status") or {}).get("startTime", "")))
        if at is not None:
            started.append(at)
    return Pods(min(started, default=None), terminating)
