"""Reads the OPA behind each bouncer: its health, how fast it decides, and the state of its bundles and plugins.

OPA is the only part of the product with its own Prometheus page. Scraped directly, its histogram has the same name as
that of a dozen other programs; here it gets its own name, a label `bouncer`, and seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError
from chassis.http.call import Call
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.policy_engine.opa_page import BOUNDS, CODE_CLASSES, OpaPage, read_page
from exporter.items import past_of
from exporter.metrics import Distribution, Family, Kind, Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from chassis.clock import Clock
    from chassis.http.call import Response
    from chassis.http.client import HttpClient
    from exporter.sources.sources import Sources

BOUNCER_LABEL = ("bouncer",)
READY_PATH = "/v1/data/system/opal/ready"

UP = Metric("controlcore_opa_up", "Whether the OPA's /health answered with success.", labels=BOUNCER_LABEL)
READY = Metric(
    "controlcore_opa_policies_ready",
    "Whether OPAL says inside the OPA that its policies are loaded (data.system.opal.ready); absent when unknown.",
    labels=BOUNCER_LABEL,
)
DURATION = Metric(
    "controlcore_opa_decision_duration_seconds",
    "Duration of the OPA's decisions (POST /v1/data), all callers together; a bucket that the OPA lacks has "
    "the count of its next lower bucket.",
    Kind.HISTOGRAM,
    labels=BOUNCER_LABEL,
    unit="seconds",
    buckets=BOUNDS,
)
DECISIONS = Metric(
    "controlcore_opa_decisions_total",
    "Requests for a decision (POST /v1/data) that the OPA answered, by class of the HTTP status.",
    Kind.COUNTER,
    labels=("bouncer", "code"),
)
ACTIVATION = Metric(
    "controlcore_opa_bundle_last_activation_timestamp_seconds",
    "Unix time at which a bundle was last activated; only with OPA's status plugin, and not under OPAL.",
    labels=("bouncer", "bundle"),
    unit="seconds",
)
FAILED_LOADS = Metric(
    "controlcore_opa_bundle_failed_loads_total",
    "Loads of a bundle that failed; only with OPA's status plugin.",
    Kind.COUNTER,
    labels=("bouncer", "bundle"),
)
PLUGIN_OK = Metric(
    "controlcore_opa_plugin_ok",
    "Whether the plugin's status is OK; only with OPA's status plugin.",
    labels=("bouncer", "plugin"),
)


class OpaSettings(CollectorSettings):
    """How each OPA is read. Their addresses are `opa_url` in `bouncers`.

    `opa_url` must name one OPA: behind a Service with several replicas, each reading could be another replica's
    counters.
    """

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two readings. Smaller only adds requests: the histogram counts everything between them."""
    timeout_seconds: float = 10.0
    """Deadline of a round."""
    health_timeout_seconds: float = Field(default=1.5, gt=0)
    """Deadline of /health. Too small reports a busy OPA as down. Above two seconds a hanging OPA is detected later than
    an interval and two seconds."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of any other request. OPA answers from memory; too small omits the figures of a busy OPA."""
    max_concurrent: int = Field(default=8, ge=1, le=24)
    """OPAs that are queried at the same time. With 1, an OPA that hangs delays the others."""


@dataclass(slots=True)
class OpaReading:
    """The results of one round, by bouncer."""

    up: dict[tuple[str, ...], bool] = field(default_factory=dict)
    ready: dict[tuple[str, ...], bool] = field(default_factory=dict)
    pages: dict[str, OpaPage] = field(default_factory=dict)
    failure: BackendError | None = None


@collector(
    scope=Scope.DEPLOYMENT,
    settings=OpaSettings,
    metrics=(UP, READY, DURATION, DECISIONS, ACTIVATION, FAILED_LOADS, PLUGIN_OK),
    always=(UP.name,),
)
class OpaCollector:
    """Reads each OPA's /health, readiness under OPAL, and /metrics; an OPA that is down is a finding, not a failure."""

    def __init__(self, settings: OpaSettings, engines: Mapping[str, str], http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._engines = engines
        self._http = http
        self._places = asyncio.Semaphore(settings.max_concurrent)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: OpaSettings, sources: Sources) -> AsyncIterator[OpaCollector]:
        """Yields the collector; raises NotConfiguredError when no bouncer has an opa_url."""
        engines = {bouncer.name: bouncer.opa_url for bouncer in sources.settings.bouncers if bouncer.opa_url}
        if not engines:
            raise NotConfiguredError("no OPA is configured: set bouncers[].opa_url")
        yield cls(settings, engines, sources.http, sources.clock)

    async def collect(self) -> Result:
        """Reads all OPAs concurrently; an unreadable page is absent, and the first reason is the failure."""
        reading = OpaReading()
        async with asyncio.TaskGroup() as group:
            for name, url in self._engines.items():
                group.create_task(self._examine(name, url, reading), name=f"opa.{name}")
        return Result(publish(reading, self._clock.now()), failure=reading.failure)

    async def _examine(self, name: str, url: str, reading: OpaReading) -> None:
        """Records what one OPA reports."""
        deadline = self._settings.request_timeout_seconds
        async with self._places:
            reading.up[(name,)] = await self._is_up(url)
            if not reading.up[(name,)]:
                return
            try:
                answer = await self._send(f"{url}/metrics", deadline)
                reading.pages[name] = await asyncio.to_thread(read_page, answer.require_ok().body)
                is_ready = (await self._send(f"{url}{READY_PATH}", deadline)).require_ok().json()
            except BackendError as error:
                reading.failure = reading.failure or error
                return
        if isinstance(is_ready, dict) and isinstance(is_ready.get("result"), bool):
            reading.ready[(name,)] = is_ready["result"]

    async def _is_up(self, url: str) -> bool:
        """Whether GET /health answered 2xx in time."""
        try:
            (await self._send(f"{url}/health", self._settings.health_timeout_seconds)).require_ok()
        except BackendError:
            return False
        return True

    async def _send(self, url: str, timeout_seconds: float) -> Response:
        """One GET; raises BackendError when no answer comes."""
        return await self._http.send(Call(url, timeout_seconds))


def publish(reading: OpaReading, now: float) -> tuple[Family, ...]:
    """The families of a round; an activation that lies in the future is unknown."""
    pages = reading.pages
    activations = {
        labels: past_of(at, now) for labels, at in _each(pages, lambda page: page.bundle_activations).items()
    }
    durations = tuple(
        Distribution((name,), page.cumulative, page.total_seconds) for name, page in pages.items() if page.cumulative
    )
    codes = {
        (name, code): page.codes.get(code, 0)
        for name, page in pages.items()
        if page.cumulative
        for code in CODE_CLASSES
    }
    return (
        UP.family(reading.up),
        READY.family(reading.ready),
        Family(DURATION, (), durations),
        DECISIONS.family(codes),
        ACTIVATION.family((labels, at) for labels, at in activations.items() if at is not None),
        FAILED_LOADS.family(_each(pages, lambda page: page.bundle_failures)),
        PLUGIN_OK.family(_each(pages, lambda page: page.plugins)),
    )


def _each(pages: Mapping[str, OpaPage], pick: Callable[[OpaPage], Mapping[str, float]]) -> dict[tuple[str, ...], float]:
    """One part of every page, by (bouncer, name)."""
    return {(bouncer, name): value for bouncer, page in pages.items() for name, value in pick(page).items()}
