"""Reads rollouts, scaling and container restarts from Deployments, autoscalers and pods. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chassis.kubernetes.objects import condition_of, find_condition
from exporter.collectors.kubernetes.workload_objects import count_or
from exporter.items import count_of, read_each
from exporter.metrics import Counter, Kind, Metric

JsonObject = dict[str, Any]

ROLLOUT = Metric(
    "controlcore_deployment_rollout_state",
    "State of the Deployment's rollout: 1 for the one it is in.",
    labels=("component", "state"),
)
RESTARTS = Metric(
    "controlcore_container_restarts_total",
    "Restarts of the component's containers, counted from the exporter's start.",
    Kind.COUNTER,
    labels=("component",),
)
WAITING = Metric(
    "controlcore_containers_waiting",
    "Containers that do not run, by the reason that kubelet gives.",
    labels=("component", "reason"),
)
INACTIVE = Metric(
    "controlcore_hpa_scaling_inactive",
    "Why the autoscaler cannot compute a size (reason of condition ScalingActive); absent while it can.",
    labels=("component", "reason"),
)
METRICS = (ROLLOUT, RESTARTS, WAITING, INACTIVE)

COMPLETE, PROGRESSING, STALLED, PAUSED = STATES = ("complete", "progressing", "stalled", "paused")
OTHER = "other"
INACTIVE_REASONS = {
    "FailedGetResourceMetric": "no_resource_metric",
    "FailedGetContainerResourceMetric": "no_resource_metric",
    "FailedGetPodsMetric": "no_custom_metric",
    "FailedGetObjectMetric": "no_custom_metric",
    "FailedGetExternalMetric": "no_custom_metric",
    "FailedGetScale": "no_target",
    "ScalingDisabled": "disabled",
    "InvalidSelector": "invalid",
    "AmbiguousSelector": "invalid",
    "InvalidMetricSourceType": "invalid",
}
"""Reasons of ScalingActive=False (the autoscaler's controller, autoscaling/v2) by label value; the rest is `other`."""
WAITING_REASONS = {
    "CrashLoopBackOff": "crash_loop",
    "ImagePullBackOff": "image_pull",
    "ErrImagePull": "image_pull",
    "InvalidImageName": "image_pull",
    "CreateContainerConfigError": "config",
    "CreateContainerError": "config",
    "RunContainerError": "config",
    "ContainerCreating": "creating",
    "PodInitializing": "creating",
}
"""Reasons of a waiting container by label value; the rest is `other`."""
WAITING_LABELS = ("crash_loop", "image_pull", "config", "creating", OTHER)


def read_rollout(deployment: JsonObject) -> str | None:
    """The state of a Deployment's rollout (apps/v1), as `kubectl rollout status` judges it; None before it is seen.

    Stalled means past progressDeadlineSeconds: it will not proceed by itself.
    """
    status, spec = deployment.get("status") or {}, deployment["spec"]
    if status.get("observedGeneration") is None:
        return None
    if spec.get("paused"):
        return PAUSED
    if find_condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return STALLED
    wanted = count_or(spec, "replicas", 1)
    is_seen = count_of(status, "observedGeneration") >= count_or(deployment.get("metadata") or {}, "generation", 0)
    counts = [count_or(status, name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return COMPLETE if is_seen and counts == [wanted] * 3 else PROGRESSING


def read_inactive(autoscaler: JsonObject) -> str | None:
    """Why an autoscaler (autoscaling/v2) computes no size; None while it does, or has not said yet."""
    if condition_of(autoscaler, "ScalingActive") is not False:
        return None
    return INACTIVE_REASONS.get(find_condition(autoscaler, "ScalingActive").get("reason") or "", OTHER)


def read_waiting(pods: Iterable[JsonObject]) -> dict[str, int]:
    """Waiting containers of these pods by reason, with 0 for the other reasons."""

    def read(pod: JsonObject) -> list[str]:
        waiting = [(status.get("state") or {}).get("waiting") for _, status in _statuses(pod)]
        return [WAITING_REASONS.get(each.get("reason") or "", OTHER) for each in waiting if each is not None]

    counts = dict.fromkeys(WAITING_LABELS, 0)
    for reasons in read_each(pods, read):
        for reason in reasons:
            counts[reason] += 1
    return counts


@dataclass(slots=True)
class RestartCount:
    """Counts restarts without a false increase: the sum over pods would fall with each pod that goes."""

    counter: Counter = field(default_factory=lambda: Counter(RESTARTS))
    seen: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    """By component: the last restartCount by (pod's uid, container)."""

    def update(self, component: str, pods: Sequence[JsonObject]) -> None:
        """Adds the restarts since the last reading; restarts before the first reading are not counted.

        If a pod could not be read, its earlier numbers are kept; otherwise all its restarts would be counted again
        later.
        """
        found = read_each(pods, _restarts)
        now = {key: count for each in found for key, count in each.items()}
        before = self.seen.get(component)
        self.counter.initialise([(component,)])
        if before is not None:
            self.counter.add((component,), sum(max(0, count - before.get(key, 0)) for key, count in now.items()))
        self.seen[component] = now if len(found) == len(pods) else {**(before or {}), **now}


def rollout_series(states: Mapping[str, str]) -> dict[tuple[str, str], bool]:
    """The state set of each component."""
    return {(name, state): state == current for name, current in states.items() for state in STATES}


def _restarts(pod: JsonObject) -> dict[tuple[str, str], int]:
    """Restarts of one pod's containers by (the pod's uid, container)."""
    uid = str(pod["metadata"].get("uid", ""))
    return {(uid, name): count_or(status, "restartCount", 0) for name, status in _statuses(pod)}


def _statuses(pod: JsonObject) -> list[tuple[str, JsonObject]]:
    """Container statuses of a pod by name (core/v1), native sidecars and init containers included."""
    status = pod.get("status") or {}
    found = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return [(str(item["name"]), item) for item in found]
