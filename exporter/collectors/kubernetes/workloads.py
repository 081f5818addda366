"""Watches the product's Deployments, their autoscalers and their pods' usage, through the Kubernetes API."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from chassis.errors import BackendError, Reason
from chassis.kubernetes.objects import is_over
from chassis.kubernetes.paths import autoscalers_path, deployment_path, pod_metrics_path, pods_path
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.kubernetes.rollout_objects import (
    INACTIVE,
    METRICS,
    RESTARTS,
    ROLLOUT,
    WAITING,
    RestartCount,
    read_inactive,
    read_rollout,
    read_waiting,
    rollout_series,
)
from exporter.collectors.kubernetes.workload_objects import (
    AUTOSCALER_METRICS,
    DEPLOYMENT_METRICS,
    Usage,
    autoscalers_by_deployment,
    figures_by_pod,
    read_autoscaler,
    read_deployment,
    read_usage,
    selector_of,
)
from exporter.items import read_each, read_one
from exporter.metrics import Metric, Stability
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

    from chassis.kubernetes.client import JsonObject, KubernetesClient
    from exporter.metrics import Family
    from exporter.settings import KubernetesSettings
    from exporter.sources.kept_state import KeptState
    from exporter.sources.sources import Sources

T = TypeVar("T")

CPU_RATIO = Metric(
    "controlcore_workload_cpu_usage_ratio",
    "CPU usage of the busiest replica over its limit, or over its request where it has no limit.",
    labels=("component", "basis"),
    unit="ratio",
)
CPU_CORES = Metric("controlcore_workload_cpu_usage_cores", "CPU usage of all replicas together.", labels=("component",))
GUIDE_CPU = Metric(
    "cpu_usage_percent",
    "CPU usage of the API's busiest replica in percent of its limit, else of its request (name of the DevOps guide).",
    stability=Stability.GUIDE,
)


class WorkloadsSettings(CollectorSettings):
    """How the workloads are watched. Their names are in `kubernetes.workloads`."""

    timeout_seconds: float = 8.0
    """Deadline of one collection; above two requests', which are the longest chain."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one request to the Kubernetes API. Too small fails while the API server is busy."""
    api_workload: str = ""
    """The API's Deployment, whose busiest replica is `cpu_usage_percent`; empty is the first of the workloads."""


@dataclass(frozen=True, slots=True)
class WorkloadObject:
    """One Deployment with its pods, as the API describes them; None could not be read."""

    deployment: JsonObject | None = None
    pods: Sequence[JsonObject] | None = None


class WorkloadReading:
    """Remembers the first failure of one collection, so that everything else can still be read."""

    def __init__(self) -> None:
        self.failure: BackendError | None = None

    async def attempt(self, call: Awaitable[T], *, may_be_missing: bool = False) -> T | None:
        """The call's result, or None when it failed; with `may_be_missing` a 404 is not a failure."""
        try:
            return await call
        except BackendError as error:
            if not (may_be_missing and error.reason is Reason.MISSING):
                self.failure = self.failure or error
            return None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=WorkloadsSettings,
    metrics=(*DEPLOYMENT_METRICS, *AUTOSCALER_METRICS, *METRICS, CPU_RATIO, CPU_CORES, GUIDE_CPU),
    always=(RESTARTS.name,),
    rbac=(
        "get apps/deployments",
        "list autoscaling/horizontalpodautoscalers",
        "list /pods",
        "list metrics.k8s.io/pods",
    ),
)
class WorkloadsCollector:
    """Reads each configured Deployment, its autoscaler and its pods; usage is absent without a metrics server."""

    def __init__(
        self, settings: WorkloadsSettings, place: KubernetesSettings, client: KubernetesClient, kept: KeptState
    ) -> None:
        self._settings = settings
        self._place = place
        self._client = client
        self._restarts = kept.of(RestartCount, "workloads.restarts", place.namespace, place.workloads)
        self._api_workload = settings.api_workload or next(iter(place.workloads), "")

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: WorkloadsSettings, sources: Sources) -> AsyncIterator[WorkloadsCollector]:
        """Yields the collector; raises NotConfiguredError without a cluster."""
        if sources.kubernetes is None or sources.settings.kubernetes is None:
            raise NotConfiguredError("no Kubernetes is configured: set kubernetes")
        yield cls(settings, sources.settings.kubernetes, sources.kubernetes, sources.kept)

    async def collect(self) -> Result:
        """Reads everything concurrently; an unreadable object is absent, and the first reason is the failure.

        Raises BackendError when nothing at all could be read.
        """
        reading = WorkloadReading()
        namespace = self._place.namespace
        async with asyncio.TaskGroup() as group:
            autoscalers = group.create_task(
                self._list(reading, autoscalers_path(namespace)), name="workloads.autoscalers"
            )
            figures = group.create_task(
                self._list(reading, pod_metrics_path(namespace), may_be_missing=True), name="workloads.usage"
            )
            tasks = {
                name: group.create_task(self._read(reading, name), name=f"workloads.{name}")
                for name in self._place.workloads
            }
        workloads = {name: task.result() for name, task in tasks.items()}
        scalers = autoscalers_by_deployment(autoscalers.result() or ())
        families = publish(workloads, scalers, figures.result() or (), self._api_workload)
        families += publish_states(workloads, scalers)
        for name, workload in workloads.items():
            if workload.pods is not None:
                self._restarts.update(name, workload.pods)
        if reading.failure is not None and not any(family.samples for family in families):
            raise reading.failure
        return Result((*families, self._restarts.counter.family()), failure=reading.failure)

    async def _read(self, reading: WorkloadReading, name: str) -> WorkloadObject:
        """One Deployment and the pods that its selector finds."""
        timeout = self._settings.request_timeout_seconds
        path = deployment_path(self._place.namespace, name)
        deployment = await reading.attempt(self._client.get(path, timeout_seconds=timeout))
        if deployment is None:
            return WorkloadObject()
        selector = read_one(deployment, selector_of)
        if selector is None:
            return WorkloadObject(deployment)
        pods = await self._list(reading, pods_path(self._place.namespace), label_selector=selector)
        # An evicted pod stays in the list for long, but its containers no longer run.
        running = read_each(pods or (), lambda pod: None if is_over(pod) else pod)
        return WorkloadObject(deployment, None if pods is None else [pod for pod in running if pod is not None])

    async def _list(
        self, reading: WorkloadReading, path: str, *, label_selector: str | None = None, may_be_missing: bool = False
    ) -> Sequence[JsonObject] | None:
        """A collection's objects, or None."""
        call = self._client.list(
            path, timeout_seconds=self._settings.request_timeout_seconds, label_selector=label_selector
        )
        return await reading.attempt(call, may_be_missing=may_be_missing)


def publish(
    workloads: Mapping[str, WorkloadObject],
    autoscalers: Mapping[str, JsonObject],
    figures: Sequence[JsonObject],
    api_workload: str,
) -> tuple[Family, ...]:
    """The families of everything that was read."""
    counts: dict[Metric, dict[tuple[str, ...], float]] = {}
    usages: dict[str, Usage] = {}
    by_pod = figures_by_pod(figures)
    for name, workload in workloads.items():
        values = read_one(workload.deployment, read_deployment) or {}
        values |= read_one(autoscalers.get(name), read_autoscaler) or {}
        for metric, value in values.items():
            counts.setdefault(metric, {})[(name,)] = value
        usages[name] = read_usage(workload.pods or (), by_pod)
    ratios = {(name, usage.basis): usage.ratio for name, usage in usages.items() if usage.ratio is not None}
    api_ratio = usages.get(api_workload, Usage()).ratio
    return (
        *(metric.family(counts.get(metric, {})) for metric in (*DEPLOYMENT_METRICS, *AUTOSCALER_METRICS)),
        CPU_RATIO.family(((name, basis), ratio) for (name, basis), ratio in ratios.items()),
        CPU_CORES.family(((name,), usage.cores) for name, usage in usages.items() if usage.cores is not None),
        GUIDE_CPU.value(None if api_ratio is None else api_ratio * 100),
    )


def publish_states(
    workloads: Mapping[str, WorkloadObject], autoscalers: Mapping[str, JsonObject]
) -> tuple[Family, ...]:
    """The families of rollouts, of waiting containers and of autoscalers that cannot compute a size."""
    rollouts = {name: read_one(item.deployment, read_rollout) for name, item in workloads.items()}
    reasons = {name: read_one(autoscalers.get(name), read_inactive) for name in workloads}
    waiting = {
        (name, reason): count
        for name, workload in workloads.items()
        if workload.pods is not None
        for reason, count in read_waiting(workload.pods).items()
    }
    return (
        ROLLOUT.family(rollout_series({name: state for name, state in rollouts.items() if state is not None})),
        WAITING.family(waiting),
        INACTIVE.family({(name, reason): 1 for name, reason in reasons.items() if reason is not None}),
    )
