"""What Deployments, autoscalers, pods and their usage say, from the API's JSON to values of metrics. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chassis.kubernetes_pods import is_ending, is_over
from chassis.kubernetes_quantity import parse_quantity
from exporter.catalogue import Metric

JsonObject = dict[str, Any]
COMPONENT_LABEL = ("component",)

DESIRED = Metric(
    "controlcore_deployment_replicas_desired", "Replicas that the Deployment asks for.", labels=COMPONENT_LABEL
)
AVAILABLE = Metric("controlcore_deployment_replicas_available", "Replicas available to users.", labels=COMPONENT_LABEL)
READY = Metric("controlcore_deployment_replicas_ready", "Replicas whose pod is Ready.", labels=COMPONENT_LABEL)
UPDATED = Metric("controlcore_deployment_replicas_updated", "Replicas of the newest template.", labels=COMPONENT_LABEL)
HPA_MIN = Metric("controlcore_hpa_replicas_min", "Fewest replicas the autoscaler may set.", labels=COMPONENT_LABEL)
HPA_MAX = Metric("controlcore_hpa_replicas_max", "Most replicas the autoscaler may set.", labels=COMPONENT_LABEL)
HPA_CURRENT = Metric("controlcore_hpa_replicas_current", "Replicas the autoscaler last saw.", labels=COMPONENT_LABEL)
HPA_DESIRED = Metric("controlcore_hpa_replicas_desired", "Replicas the autoscaler last wanted.", labels=COMPONENT_LABEL)
HPA_AT_MAX = Metric(
    "controlcore_hpa_at_max", "Whether the autoscaler wants as many replicas as it may set.", labels=COMPONENT_LABEL
)
HPA_SCALING_ACTIVE = Metric(
    "controlcore_hpa_scaling_active",
    "Whether the autoscaler can compute a size (condition ScalingActive).",
    labels=COMPONENT_LABEL,
)
HPA_SCALING_LIMITED = Metric(
    "controlcore_hpa_scaling_limited",
    "Whether a limit keeps the autoscaler from the size it computed (condition ScalingLimited).",
    labels=COMPONENT_LABEL,
)

DEPLOYMENT_METRICS = (DESIRED, AVAILABLE, READY, UPDATED)
AUTOSCALER_METRICS = (HPA_MIN, HPA_MAX, HPA_CURRENT, HPA_DESIRED, HPA_AT_MAX, HPA_SCALING_ACTIVE, HPA_SCALING_LIMITED)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the replicas of one workload use. None is unknown."""

    cores: float | None = None
    ratio: float | None = None
    basis: str = ""


def read_deployment(deployment: JsonObject) -> dict[Metric, float]:
    """Replica counts of a Deployment (apps/v1).

    The API leaves out a status count that is 0; before the controller has seen the object nothing in status is known.
    """
    values: dict[Metric, float] = {DESIRED: deployment["spec"].get("replicas", 1)}
    status = deployment.get("status") or {}
    if status.get("observedGeneration") is not None:
        values[AVAILABLE] = status.get("availableReplicas", 0)
        values[READY] = status.get("readyReplicas", 0)
        values[UPDATED] = status.get("updatedReplicas", 0)
    return values


def find_autoscaler(autoscalers: Iterable[JsonObject], deployment: str) -> JsonObject | None:
    """The HorizontalPodAutoscaler whose scaleTargetRef is this Deployment; the first by name if there are several."""
    found = [
        item
        for item in autoscalers
        if item["spec"]["scaleTargetRef"].get("kind") == "Deployment"
        and item["spec"]["scaleTargetRef"].get("name") == deployment
    ]
    return min(found, key=lambda item: str(item["metadata"]["name"]), default=None)


def read_autoscaler(autoscaler: JsonObject) -> dict[Metric, float]:
    """Bounds, sizes and conditions of an autoscaler (autoscaling/v2).

    What it has not computed yet is absent: a wanted size of 0 is one that was never computed, unless it is scaling.
    """
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    values: dict[Metric, float] = {HPA_MIN: spec.get("minReplicas", 1), HPA_MAX: spec["maxReplicas"]}
    if conditions:
        values[HPA_CURRENT] = status.get("currentReplicas", 0)
    desired = status.get("desiredReplicas", 0)
    if conditions.get("ScalingActive") == "True" or desired > 0:
        values[HPA_DESIRED] = desired
        values[HPA_AT_MAX] = desired >= spec["maxReplicas"]
    for metric, name in ((HPA_SCALING_ACTIVE, "ScalingActive"), (HPA_SCALING_LIMITED, "ScalingLimited")):
        if conditions.get(name) in {"True", "False"}:
            values[metric] = conditions[name] == "True"
    return values


def allowance(pod: JsonObject, kind: str) -> Decimal | None:
    """CPU that the pod's containers are given together: `kind` is `limits` or `requests`.

    None when one of them has none: then the pod as a whole has no bound. Native sidecars (init containers that restart
    always) run beside the others and count; other init containers do not.
    """
    spec = pod["spec"]
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    total = Decimal(0)
    for container in (*spec["containers"], *sidecars):
        quantity = ((container.get("resources") or {}).get(kind) or {}).get("cpu")
        if quantity is None:
            return None
        total += parse_quantity(str(quantity))
    return total if total > 0 else None


def read_usage(pods: Iterable[JsonObject], metrics: Mapping[str, JsonObject]) -> Usage:
    """Usage of the pods that have a figure in `metrics` (PodMetrics by pod name); those that end or are over do not.

    The ratio is the busiest replica's; when some replicas have a limit and others only a request, limits are compared.
    """
    cores = Decimal(0)
    ratios: dict[str, list[Decimal]] = {"limit": [], "request": []}
    is_known = False
    for pod in pods:
        figure = metrics.get(pod["metadata"]["name"])
        if figure is None or is_ending(pod) or is_over(pod):
            continue
        used = sum((parse_quantity(str(item["usage"]["cpu"])) for item in figure["containers"]), Decimal(0))
        is_known, cores = True, cores + used
        for basis, kind in (("limit", "limits"), ("request", "requests")):
            bound = allowance(pod, kind)
            if bound is not None:
                ratios[basis].append(used / bound)
                break
    if not is_known:
        return Usage()
    basis = next((name for name in ("limit", "request") if ratios[name]), "")
    return Usage(float(cores), float(max(ratios[basis])) if basis else None, basis)


def selector_of(deployment: JsonObject) -> str:
    """The Deployment's label selector as the API's query parameter takes it."""
    selector = deployment["spec"]["selector"]
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    forms = {
        "In": "{key} in ({values})",
        "NotIn": "{key} notin ({values})",
        "Exists": "{key}",
        "DoesNotExist": "!{key}",
    }
    parts += [
        forms[item["operator"]].format(key=item["key"], values=",".join(item.get("values") or ()))
        for item in selector.get("matchExpressions") or ()
    ]
    return ",".join(parts)
