"""Reads a Deployment, its autoscalers, its disruption budgets and its pods.

Nothing here writes. An object with an undocumented shape is a PermanentError(malformed), never a guess; every reading
function raises BackendError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chassis.errors import PermanentError, Reason
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.objects import condition_of, reading
from chassis.kubernetes.paths import (
    autoscalers_path,
    deployment_path,
    disruption_budgets_path,
    pods_path,
    replica_sets_path,
)
from chassis.kubernetes.selectors import selector_text, selects
from remediations.core.model.alert import Target
from remediations.core.model.cluster import Autoscaler, Budgets, ObjectChange, Template, Workload
from remediations.facts.kubernetes.drop_tables import Environment, Resolved, resolve_drop_tables
from remediations.facts.kubernetes.new_pods import read_new_pods
from remediations.facts.kubernetes.pod_template import (
    find_delivery,
    read_changes,
    read_managers,
    read_rollouts,
    read_scalers,
    read_sources,
    surge,
    unavailable,
    unpinned_images,
)
from remediations.facts.kubernetes.reader import ClusterReader

ANNOTATION_PREFIX = "controlcore.io/"


async def read_deployment(reader: ClusterReader, target: Target) -> JsonObject:
    """The Deployment itself (apps/v1)."""
    return await reader.get(deployment_location(target))


async def read_workload(reader: ClusterReader, target: Target) -> Workload:
    """The Deployment as decisions need it, with CC_DROP_TABLES resolved through ConfigMaps and Secrets."""
    document = await read_deployment(reader, target)
    with reading("Deployment"):
        environment = Environment(reader, target.namespace)
        return _workload(document, await resolve_drop_tables(environment, document["spec"]["template"]))


async def read_rollout(reader: ClusterReader, target: Target) -> Workload:
    """The Deployment for watching a rollout: one call, without resolving CC_DROP_TABLES."""
    document = await read_deployment(reader, target)
    with reading("Deployment"):
        return _workload(document, Resolved(None, "not asked"))


async def read_autoscalers(reader: ClusterReader, target: Target) -> tuple[Autoscaler, ...]:
    """The HorizontalPodAutoscalers (autoscaling/v2) whose scaleTargetRef names the target."""
    items = await reader.list(autoscalers_path(target.namespace))
    with reading("HorizontalPodAutoscaler"):
        return tuple(_autoscaler(item) for item in items if _scales(item, target))


async def read_budgets(reader: ClusterReader, target: Target) -> Budgets:
    """The PodDisruptionBudgets (policy/v1) that select the Deployment's pods."""
    items = await reader.list(disruption_budgets_path(target.namespace))
    return choose_budgets(items, await read_deployment(reader, target))


async def list_pods(reader: ClusterReader, target: Target) -> list[JsonObject]:
    """The pods that the Deployment selects, unchanged."""
    document = await read_deployment(reader, target)
    with reading("Deployment"):
        selector = selector_text(document["spec"]["selector"])
    return await reader.list(pods_path(target.namespace), labels=selector)


async def read_template(reader: ClusterReader, target: Target) -> Template:
    """What new pods would start, and whether the cluster would accept them."""
    document = await read_deployment(reader, target)
    with reading("Deployment"):
        template = document["spec"]["template"]
        sources = await read_sources(reader, target.namespace, template)
        return Template(unpinned_images(template), sources, await read_new_pods(reader, target.namespace, document))


async def read_object_changes(reader: ClusterReader, target: Target) -> tuple[ObjectChange, ...]:
    """The last changes of the Deployment by others; from its ReplicaSets if it has no field managers."""
    document = await read_deployment(reader, target)
    with reading("Deployment"):
        noted = read_changes(document)
        if noted is not None:
            return noted
        uid = document["metadata"]["uid"]
    items = await reader.list(replica_sets_path(target.namespace))
    with reading("ReplicaSet"):
        return tuple(read_rollouts(items, uid))


def choose_budgets(items: Iterable[JsonObject], document: JsonObject) -> Budgets:
    """The budgets whose selector matches the labels of a Deployment's pod template; raises PermanentError."""
    with reading("PodDisruptionBudget"):
        labels = document["spec"]["template"]["metadata"].get("labels") or {}
        chosen = (item for item in items if selects(item["spec"].get("selector"), labels))
        return Budgets({item["metadata"]["name"]: _allowed(item) for item in chosen})


def deployment_location(target: Target) -> str:
    """The API path of the target; raises PermanentError(malformed) for an unsupported kind."""
    if target.kind != "Deployment":
        raise PermanentError(Reason.MALFORMED, f"only Deployments are acted on, not {target.kind}")
    return deployment_path(target.namespace, target.name)


def _workload(document: JsonObject, resolved: Resolved) -> Workload:
    """A Workload from the Deployment's metadata, spec and status."""
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    return Workload(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=int(metadata["generation"]),
        observed_generation=int(status.get("observedGeneration", 0)),
        is_paused=bool(spec.get("paused", False)),
        replicas_desired=int(spec.get("replicas", 1)),
        replicas_updated=int(status.get("updatedReplicas", 0)),
        replicas_ready=int(status.get("readyReplicas", 0)),
        replicas_available=int(status.get("availableReplicas", 0)),
        replicas_total=int(status.get("replicas", 0)),
        annotations=_own_annotations(metadata),
        template_annotations=_own_annotations(spec["template"].get("metadata") or {}),
        owner=_owner(metadata),
        strategy=(spec.get("strategy") or {}).get("type", "RollingUpdate"),
        drop_tables=resolved.value,
        drop_tables_problem=resolved.problem,
        surge=surge(spec),
        replicas_managers=read_managers(document, "replicas"),
        replicas_scalers=read_scalers(document, "replicas"),
        delivered_by=find_delivery(metadata),
        unavailable=unavailable(spec),
    )


def _own_annotations(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The annotations under our prefix; others (last-applied-configuration) may hold a whole manifest with secrets."""
    annotations = metadata.get("annotations") or {}
    return {name: value for name, value in annotations.items() if name.startswith(ANNOTATION_PREFIX)}


def _owner(metadata: Mapping[str, Any]) -> str:
    """kind/name of the controlling ownerReference, or empty."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return f"{reference['kind']}/{reference['name']}"
    return ""


def _scales(item: JsonObject, target: Target) -> bool:
    """Whether an autoscaler's scaleTargetRef names the target."""
    reference = item["spec"]["scaleTargetRef"]
    return bool(reference["kind"] == target.kind and reference["name"] == target.name)


def _autoscaler(item: JsonObject) -> Autoscaler:
    """An Autoscaler from its spec and status."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    return Autoscaler(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        minimum=int(spec.get("minReplicas", 1)),
        maximum=int(spec["maxReplicas"]),
        current=int(status.get("currentReplicas", 0)),
        desired=int(status.get("desiredReplicas", 0)),
        is_active=condition_of(item, "ScalingActive"),
        is_limited=condition_of(item, "ScalingLimited"),
        annotations=_own_annotations(metadata),
        owner=_owner(metadata),
        is_out_paused=_is_disabled(spec, "scaleUp"),
        is_in_paused=_is_disabled(spec, "scaleDown"),
    )


def _is_disabled(spec: Mapping[str, Any], direction: str) -> bool:
    """Whether an autoscaler's behaviour in this direction is switched off."""
    return ((spec.get("behavior") or {}).get(direction) or {}).get("selectPolicy") == "Disabled"


def _allowed(item: JsonObject) -> int:
    """disruptionsAllowed; 0 while the controller has not processed the newest specification."""
    status = item.get("status") or {}
    if int(status.get("observedGeneration", 0)) < int(item["metadata"].get("generation", 0)):
        return 0
    return int(status.get("disruptionsAllowed", 0))
