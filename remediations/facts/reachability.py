"""Whether Prometheus and Alertmanager answer, probed every half minute, not only for decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from chassis.clock import Clock
from chassis.errors import BackendError
from chassis.http.client_auth import without_user
from chassis.log import get_logger
from remediations.settings import AlertmanagerSettings, PrometheusSettings

PERIOD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SourceProbe:
    """One probe of a source that every decision needs."""

    source: str
    """Its name in the metric and the setting."""
    url: str
    consequence: str
    ask: Callable[[], Awaitable[object]]
    """Raises BackendError if there is no good response."""


class SourceMetrics(Protocol):
    """Publishes the results; remediations.metrics.Telemetry, or a fake."""

    def see_source(self, source: str, *, is_up: bool) -> None:
        """Whether this source answered its last probe."""
        ...


class Reachability:
    """Probes each source repeatedly, and reports faults."""

    def __init__(self, probes: tuple[SourceProbe, ...], clock: Clock, metrics: SourceMetrics) -> None:
        self._probes = probes
        self._clock = clock
        self._metrics = metrics
        self._problems: dict[str, str] = {}

    def warnings(self) -> tuple[str, ...]:
        """One line for each source that does not answer; without an address, because anyone may read it."""
        return tuple(
            f"{probe.source}.url: no answer ({self._problems[probe.source]}); {probe.consequence}"
            for probe in self._probes
            if probe.source in self._problems
        )

    async def run(self) -> None:
        """Probes until cancelled."""
        while True:
            await self.probe()
            await self._clock.sleep(PERIOD_SECONDS)

    async def probe(self) -> None:
        """Probes every source once, concurrently."""
        async with asyncio.TaskGroup() as group:
            for probe in self._probes:
                group.create_task(self._probe(probe), name=f"reachability.{probe.source}")

    async def _probe(self, probe: SourceProbe) -> None:
        was_told = probe.source in self._problems
        try:
            await probe.ask()
        except BackendError as error:
            self._problems[probe.source] = error.reason.value
            if not was_told:
                get_logger().warning(
                    "source.unreachable", source=probe.source, url=probe.url, reason=error.reason.value,
                    problem=str(error), consequence=probe.consequence,
                )  # fmt: skip
        else:
            self._problems.pop(probe.source, None)
            if was_told:
                get_logger().info("source.answered", source=probe.source, url=probe.url)
        self._metrics.see_source(probe.source, is_up=probe.source not in self._problems)


def probe_prometheus(settings: PrometheusSettings, ask: Callable[[str], Awaitable[object]]) -> SourceProbe:
    """A query that every Prometheus answers; `ask` is PrometheusClient.instant."""
    return SourceProbe(
        "prometheus", without_user(settings.url), "every decision is held as unknown", lambda: ask("vector(1)")
    )


def probe_alertmanager(settings: AlertmanagerSettings, ask: Callable[[], Awaitable[object]]) -> SourceProbe:
    """A request that is made before each action and must be answered; `ask` is Alertmanager.is_settling."""
    return SourceProbe("alertmanager", without_user(settings.url), "every action is held as silence_unknown", ask)
