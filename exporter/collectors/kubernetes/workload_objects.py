"""Turns the API's JSON for Deployments, autoscalers, pods and usage into metric values. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from chassis.kubernetes.objects import condition_of, is_ending, is_over
from chassis.kubernetes.quantity import parse_quantity
from chassis.kubernetes.selectors import selector_text
from exporter.items import count_of, read_each, text_of
from exporter.metrics import Metric

JsonObject = dict[str, Any]
COMPONENT_LABEL = ("component",)

DESIRED = Metric(
    "controlcore_deployment_replicas_desired", "Desired replicas of the Deployment.", labels=COMPONENT_LABEL
)
AVAILABLE = Metric("controlcore_deployment_replicas_available", "Replicas available to users.", labels=COMPONENT_LABEL)
READY = Metric("controlcore_deployment_replicas_ready", "Replicas whose pod is Ready.", labels=COMPONENT_LABEL)
UPDATED = Metric("controlcore_deployment_replicas_updated", "Replicas of the newest template.", labels=COMPONENT_LABEL)
HPA_MIN = Metric("controlcore_hpa_replicas_min", "Fewest replicas the autoscaler may set.", labels=COMPONENT_LABEL)
HPA_MAX = Metric("controlcore_hpa_replicas_max", "Most replicas the autoscaler may set.", labels=COMPONENT_LABEL)
HPA_CURRENT = Metric("controlcore_hpa_replicas_current", "Replicas the autoscaler last saw.", labels=COMPONENT_LABEL)
HPA_DESIRED = Metric("controlcore_hpa_replicas_desired", "Replicas the autoscaler last wanted.", labels=COMPONENT_LABEL)
HPA_AT_MAX = Metric(
    "controlcore_hpa_at_max",
    "Whether the autoscaler wants as many replicas as it may set; absent while its bounds are equal.",
    labels=COMPONENT_LABEL,
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
    """Usage of one workload's replicas. None is unknown."""

    cores: float | None = None
    ratio: float | None = None
    basis: str = ""


def read_deployment(deployment: JsonObject) -> dict[Metric, float]:
    """Replica counts of a Deployment (apps/v1).

    The API leaves out a status count that is 0; before the controller has seen the object nothing in status is known.
    """
    values: dict[Metric, float] = {DESIRED: count_or(deployment["spec"], "replicas", 1)}
    status = deployment.get("status") or {}
    if status.get("observedGeneration") is not None:
        values[AVAILABLE] = count_or(status, "availableReplicas", 0)
        values[READY] = count_or(status, "readyReplicas", 0)
        values[UPDATED] = count_or(status, "updatedReplicas", 0)
    return values


def count_or(values: JsonObject, name: str, default: int) -> int:
    """A whole number, or the API's default if the field is missing; raises what count_of raises."""
    return default if values.get(name) is None else count_of(values, name)


def autoscalers_by_deployment(autoscalers: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """The HorizontalPodAutoscalers by the Deployment that is their scaleTargetRef; the first by name of several."""

    def read(item: JsonObject) -> tuple[str, str, JsonObject] | None:
        target = item["spec"]["scaleTargetRef"]
        if target.get("kind") != "Deployment":
            return None
        return text_of(item["metadata"], "name"), text_of(target, "name"), item

    found = sorted(filter(None, read_each(autoscalers, read)), key=lambda each: each[0], reverse=True)
    return {target: item for _, target, item in found}


def read_autoscaler(autoscaler: JsonObject) -> dict[Metric, float]:
    """Bounds, sizes and conditions of an autoscaler (autoscaling/v2).

    A value that is not computed yet is absent: a wanted size of 0 was never computed, unless it is scaling. An
    autoscaler with equal bounds is always at its maximum, which says nothing about the load.
    """
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    most = count_of(spec, "maxReplicas")
    values: dict[Metric, float] = {HPA_MIN: count_or(spec, "minReplicas", 1), HPA_MAX: most}
    if status.get("conditions"):
        values[HPA_CURRENT] = count_or(status, "currentReplicas", 0)
    desired = count_or(status, "desiredReplicas", 0)
    if condition_of(autoscaler, "ScalingActive") or desired > 0:
        values[HPA_DESIRED] = desired
        if values[HPA_MIN] < most:
            values[HPA_AT_MAX] = desired >= most
    for metric, name in ((HPA_SCALING_ACTIVE, "ScalingActive"), (HPA_SCALING_LIMITED, "ScalingLimited")):
        state = condition_of(autoscaler, name)
        if state is not None:
            values[metric] = state
    return values


def allowance(pod: JsonObject, kind: str) -> Decimal | None:
    """Total CPU of the pod's containers: `kind` is `limits` or `requests`.

    None if a container has none, because then the pod as a whole has no bound. Native sidecars (init containers that
    always restart) run with the others and count; other init containers do not. A bound of the pod itself
    (`spec.resources`, Kubernetes 1.34) comes before those of its containers.
    """
    spec = pod["spec"]
    whole = ((spec.get("resources") or {}).get(kind) or {}).get("cpu")
    if whole is not None:
        return parse_quantity(str(whole)) or None
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    total = Decimal(0)
    for container in (*spec["containers"], *sidecars):
        quantity = ((container.get("resources") or {}).get(kind) or {}).get("cpu")
        if quantity is None:
            return None
        total += parse_quantity(str(quantity))
    return total if total > 0 else None


def read_usage(pods: Iterable[JsonObject], metrics: Mapping[str, JsonObject]) -> Usage:
    """Usage of the pods with a value in `metrics` (PodMetrics by pod name), without terminating and ended ones.

    The ratio is the busiest replica's; when some replicas have a limit and others only a request, limits are compared.
    """

    def read(pod: JsonObject) -> tuple[Decimal, str, Decimal] | None:
        figure = metrics.get(pod["metadata"]["name"])
        if figure is None or is_ending(pod) or is_over(pod):
            return None
        used = sum((parse_quantity(str(item["usage"]["cpu"])) for item in figure["containers"]), Decimal(0))
        if used < 0:
            raise ValueError("usage is below zero")
        for basis, kind in (("limit", "limits"), ("request", "requests")):
            bound = allowance(pod, kind)
            if bound is not None:
                return used, basis, used / bound
        return used, "", Decimal(0)

    found = list(filter(None, read_each(pods, read)))
    if not found:
        return Usage()
    cores = float(sum(used for used, _, _ in found))
    basis = next((name for name in ("limit", "request") if any(name == each for _, each, _ in found)), "")
    ratio = max((ratio for _, each, ratio in found if basis and each == basis), default=None)
    return Usage(cores, None if ratio is None else float(ratio), basis)


def figures_by_pod(figures: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """PodMetrics by the pod's name."""
    return dict(read_each(figures, lambda figure: (text_of(figure["metadata"], "name"), figure)))


def selector_of(deployment: JsonObject) -> str:
    """The Deployment's label selector as a query parameter of the API; raises ValueError for an empty one."""
    return selector_text(deployment["spec"]["selector"])
