"""Finds the colour to which each Service sends its traffic, and whether pods receive it.

The guide switches between two installations by patching `version` in a Service's selector. A selector cannot reach into
another namespace: if the new colour lives elsewhere, the Service silently selects nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError, Reason
from chassis.kubernetes.objects import is_over, is_ready
from chassis.kubernetes.paths import pods_path, resource_path
from chassis.kubernetes.selectors import selector_text
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.items import read_each, read_one, text_of
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from chassis.kubernetes.client import JsonObject, KubernetesClient
    from exporter.settings import KubernetesSettings
    from exporter.sources.sources import Sources

BLUE, GREEN, OTHER, NONE = COLOURS = ("blue", "green", "other", "none")

COLOUR = Metric(
    "controlcore_service_active_colour",
    "Colour in the Service's selector (`version`): 1 for the one that gets the traffic; `none` without any.",
    labels=("service", "colour"),
)
SELECTED_PODS = Metric(
    "controlcore_service_selected_pods",
    "Pods that the Service selects, Ready or not, without ended ones; at 0 its traffic goes nowhere.",
    labels=("service",),
)
READY_PODS = Metric(
    "controlcore_service_ready_pods",
    "Ready pods that the Service selects; at 0 its traffic goes nowhere.",
    labels=("service",),
)


class BluegreenSettings(CollectorSettings):
    """Which Services are read."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two readings. Larger detects a failed switch later."""
    timeout_seconds: float = 8.0
    """Deadline of one collection; above two requests', which run one after the other."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one request to the Kubernetes API."""
    services: tuple[str, ...] = Field(default=(), max_length=50)
    """Names of the Services; empty means those named like `kubernetes.workloads`."""
    selector_key: str = Field(default="version", min_length=1)
    """The key of the selector that holds the colour."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=BluegreenSettings,
    metrics=(COLOUR, SELECTED_PODS, READY_PODS),
    rbac=("get /services", "list /pods"),
)
class BluegreenCollector:
    """Reads each Service's selector and the pods it selects; a missing Service is absent, not a failure."""

    def __init__(self, settings: BluegreenSettings, place: KubernetesSettings, client: KubernetesClient) -> None:
        self._settings = settings
        self._place = place
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BluegreenSettings, sources: Sources) -> AsyncIterator[BluegreenCollector]:
        """Yields the collector; raises NotConfiguredError without a cluster."""
        if sources.kubernetes is None or sources.settings.kubernetes is None:
            raise NotConfiguredError("no Kubernetes is configured: set kubernetes")
        yield cls(settings, sources.settings.kubernetes, sources.kubernetes)

    async def collect(self) -> Result:
        """Reads all Services concurrently; one that cannot be read is absent, and the first reason is the failure."""
        colours: dict[str, str] = {}
        counts: dict[str, tuple[int, int | None]] = {}
        failures: list[BackendError] = []
        async with asyncio.TaskGroup() as group:
            for name in self._settings.services or self._place.workloads:
                group.create_task(self._look(name, colours, counts, failures), name=f"bluegreen.{name}")
        if failures and not colours:
            raise failures[0]
        series = {(name, each): each == colour for name, colour in colours.items() for each in COLOURS}
        families = (
            COLOUR.family(series),
            SELECTED_PODS.family({(name,): selected for name, (selected, _) in counts.items()}),
            READY_PODS.family({(name,): ready for name, (_, ready) in counts.items() if ready is not None}),
        )
        return Result(families, failure=failures[0] if failures else None)

    async def _look(
        self,
        name: str,
        colours: dict[str, str],
        counts: dict[str, tuple[int, int | None]],
        failures: list[BackendError],
    ) -> None:
        """Records one Service's colour, and how many pods it selects and how many of them are ready."""
        timeout, namespace = self._settings.request_timeout_seconds, self._place.namespace
        try:
            service = await self._client.get(
                resource_path("v1", "services", namespace=namespace, name=name), timeout_seconds=timeout
            )
            selector = read_one(service, read_selector)
            if selector is None:
                return
            colours[name] = colour_of(selector.get(self._settings.selector_key))
            if selector:
                query = selector_text({"matchLabels": selector})
                pods = await self._client.list(pods_path(namespace), timeout_seconds=timeout, label_selector=query)
                counts[name] = len(pods) - sum(read_each(pods, is_over)), count_ready(pods)
        except BackendError as error:
            if error.reason is not Reason.MISSING:
                failures.append(error)


def read_selector(service: JsonObject) -> dict[str, str]:
    """A Service's selector (core/v1); empty when its endpoints are managed by hand.

    Raises TypeError if it is malformed.
    """
    selector = (service.get("spec") or {}).get("selector") or {}
    return {key: text_of(selector, key) for key in selector}


def colour_of(version: str | None) -> str:
    """The selector's value as a label value of a closed set."""
    if not version:
        return NONE
    return version if version in {BLUE, GREEN} else OTHER


def count_ready(pods: Sequence[JsonObject]) -> int | None:
    """How many pods are Ready, without ended and terminating ones; None when there are pods and none can be read."""
    states = read_each(pods, is_ready)
    return None if pods and not states else sum(states)
