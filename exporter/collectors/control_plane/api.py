"""Probes the control-plane API: its process, its event loop and its connection to the database.

The API's handlers block its event loop while they wait for the database, so the latency of /health, which does nothing,
shows how blocked the loop is. A deep probe against a slow database would freeze users' requests, so it is only sent
when the database canary has just found the database healthy.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from chassis.net.sockets import can_connect
from exporter.collector import NotConfiguredError, Result, collector
from exporter.collectors.control_plane.api_gate import GateSettings, alone, ask, is_harmless
from exporter.metrics import FAST_BUCKETS, Counter, Histogram, Kind, Metric, Stability
from exporter.settings import Scope, place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.http.call import Response
    from exporter.sources.sources import Sources

COMPONENT = "api"
HEALTH, DEEP = "health", "deep"
REASONS = (
    Reason.TIMEOUT,
    Reason.REFUSED,
    Reason.UNREACHABLE,
    Reason.DNS,
    Reason.CLOSED,
    Reason.TLS,
    Reason.AUTH,
    Reason.PERMISSION,
    Reason.MISSING,
    Reason.OVERLOADED,
    Reason.MALFORMED,
    Reason.PROTOCOL,
    Reason.HTTP_3XX,
    Reason.HTTP_4XX,
    Reason.HTTP_5XX,
)
"""Every reason why a probe fails; the counter starts at 0 for each."""
NOT_OURS_TO_ASK = frozenset({Reason.AUTH, Reason.PERMISSION, Reason.MISSING, Reason.HTTP_3XX})
"""In this build the deep probe's endpoint differs or needs a key, which says nothing about the database."""
FRESH_CONNECTION = {"Connection": "close"}
"""A kept connection would always reach the same replica behind a Service, and its end would be a false alarm."""

REACHABLE = Metric("controlcore_api_reachable", "Whether a TCP connection to the API could be opened.")
HEALTH_DURATION = Metric(
    "controlcore_api_health_duration_seconds",
    "Response time of the last /health probe, the signal for a blocked event loop; absent without an answer.",
    unit="seconds",
)
PROBE_DURATION = Metric(
    "controlcore_api_probe_duration_seconds",
    "Duration of API probes; a probe without an answer counts as its deadline.",
    Kind.HISTOGRAM,
    labels=("endpoint",),
    unit="seconds",
    buckets=FAST_BUCKETS,
)
FAILURES = Metric(
    "controlcore_api_probe_failures_total",
    "API probes that failed, by reason.",
    Kind.COUNTER,
    labels=("endpoint", "reason"),
)
STATUS_CODE = Metric(
    "controlcore_api_probe_http_status_code",
    "HTTP status of the last answer to this probe; absent when it was not sent or got no answer.",
    labels=("endpoint",),
)
DEEP_SUCCESS = Metric(
    "controlcore_api_deep_probe_success",
    "Whether the API answered from its database; absent when the probe was not sent or is not permitted.",
)
DEEP_SUSPENDED = Metric(
    "controlcore_api_deep_probe_suspended",
    "Whether the deep probe was skipped (1), because the database or the API was not known to be healthy.",
)
REDIS_SUCCESS = Metric(
    "controlcore_api_redis_path_success",
    "Whether the API reached its Redis, according to its last cache statistics; absent when they do not say.",
)
GUIDE_DURATION = Metric(
    "http_request_duration_seconds",
    "Duration of the exporter's requests to the API (name of the DevOps guide).",
    Kind.HISTOGRAM,
    unit="seconds",
    stability=Stability.GUIDE,
    buckets=FAST_BUCKETS,
)


@dataclass(slots=True)
class RedisPath:
    """The API's access to its Redis, as far as known."""

    is_reached: bool | None = None
    due_monotonic: float = -math.inf


class ApiCollectorSettings(GateSettings):
    """How the API is probed."""

    timeout_seconds: float = 8.0
    """Deadline of one collection; above the probes' together, so that none is cut off."""
    connect_timeout_seconds: float = Field(default=1.8, gt=0)
    """Deadline of the TCP connection. Too small reports a distant API as unreachable; for values above two seconds, see
    below.
    """
    health_timeout_seconds: float = Field(default=1.8, gt=0)
    """Deadline of /health, and its duration when no answer comes. Below a second it would hide how long the event loop
    is blocked. Above two seconds a hanging API is detected later than an interval and two seconds."""
    deep_probe: bool = True
    """Whether the deep probe is sent. Off publishes neither its success nor its suspension."""
    deep_path: str = Field(default="/opal/bouncer-pairs", pattern="^/")
    """Path of an unauthenticated GET that reads the database and writes nothing."""
    deep_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the deep probe. It does not shorten the time for which the database blocks the API's event loop."""
    redis_interval_seconds: float = Field(default=60.0, ge=60)
    """Seconds between two requests for the cache statistics. The API reads every cached attribute for them, hence not
    below 60.
    """
    redis_timeout_seconds: float = Field(default=1.5, gt=0)
    """Deadline of that request; it is part of the collection's deadline, after the two probes."""
    redis_path: str = Field(default="/pip/cache/stats", pattern="^/")
    """Path of that request; empty statistics with an `error` mean that the API cannot reach its Redis."""


@collector(
    scope=Scope.POD,
    settings=ApiCollectorSettings,
    metrics=(
        REACHABLE,
        HEALTH_DURATION,
        PROBE_DURATION,
        FAILURES,
        STATUS_CODE,
        DEEP_SUCCESS,
        DEEP_SUSPENDED,
        REDIS_SUCCESS,
        GUIDE_DURATION,
    ),
    always=(REACHABLE.name, PROBE_DURATION.name, FAILURES.name, GUIDE_DURATION.name),
)
class ApiCollector:
    """Probes GET /health, the TCP port, and, when it does no harm, GET /opal/bouncer-pairs.

    Component `api` is up when /health answered 2xx within its deadline. An API that is down is a finding, not a
    failure.
    """

    def __init__(self, settings: ApiCollectorSettings, url: str, sources: Sources) -> None:
        self._settings = settings
        self._url = url.rstrip("/")
        self._place = place_of(url)
        self._http = sources.http
        self._clock = sources.clock
        self._sources = sources
        self._redis = sources.kept.of(RedisPath, "api.redis", url, settings.redis_path)
        self._statuses: dict[tuple[str, ...], float] = {}
        self._durations = Histogram(PROBE_DURATION).initialise([(HEALTH,), (DEEP,)])
        self._guide = Histogram(GUIDE_DURATION).initialise([()])
        self._failures = Counter(FAILURES).initialise(
            (endpoint, reason) for endpoint in (HEALTH, DEEP) for reason in REASONS
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ApiCollectorSettings, sources: Sources) -> AsyncIterator[ApiCollector]:
        """Yields the collector; raises NotConfiguredError without an API, ConfigError when its URL has no host."""
        url = sources.settings.api.url
        if url is None:
            raise NotConfiguredError("no API is configured: set api.url")
        yield cls(settings, url, sources)

    async def collect(self) -> Result:
        """Probes /health and the port concurrently, then the deep endpoint unless that could do harm."""
        self._statuses.clear()
        async with asyncio.TaskGroup() as group:
            port = group.create_task(can_connect(*self._place, self._settings.connect_timeout_seconds), name="api.port")
            health = group.create_task(self._probe_health(), name="api.health")
        is_up = isinstance(health.result(), float)
        may_probe, deep = await self._ask() if is_up else (False, None)
        families = (
            REACHABLE.value(port.result()),
            HEALTH_DURATION.value(health.result()),
            self._durations.family(),
            self._failures.family(),
            STATUS_CODE.family(self._statuses),
            DEEP_SUCCESS.value(deep),
            DEEP_SUSPENDED.value(None if may_probe is None or not self._settings.deep_probe else not may_probe),
            REDIS_SUCCESS.value(self._redis.is_reached if is_up else None),
            self._guide.family(),
        )
        return Result(families, {COMPONENT: is_up})

    async def _ask(self) -> tuple[bool | None, bool | None]:
        """Whether the deep probe was sent, and its result; then the Redis request.

        None while another collector queries the API. Sends the deep probe only when it cannot harm the database's
        users, and nothing while an abandoned request may still run.
        """
        gate = self._sources.api_gate
        async with alone(self._sources) as is_alone:
            if not is_alone:
                return None, None
            may_probe = self._settings.deep_probe and await is_harmless(self._sources, self._settings)
            deep = await self._probe_deep() if may_probe else None
            if gate.is_free:
                await self._ask_for_redis()
        return may_probe, deep

    async def _ask_for_redis(self) -> None:
        """Records, when it is due, whether the API reaches its Redis; an unclear answer is unknown."""
        now = self._clock.monotonic()
        if now < self._redis.due_monotonic:
            return
        self._redis.due_monotonic = now + self._settings.redis_interval_seconds
        url, deadline = f"{self._url}{self._settings.redis_path}", self._settings.redis_timeout_seconds
        call = Call(url, deadline, headers=FRESH_CONNECTION)
        try:
            self._redis.is_reached = read_cache_statistics((await ask(self._sources, call)).require_ok().json())
        except BackendError:
            self._redis.is_reached = None

    async def _probe_health(self) -> float | None:
        """Seconds until /health answered 2xx; None when it did not."""
        began = self._clock.monotonic()
        try:
            answer = await self._probe(HEALTH, "/health", self._settings.health_timeout_seconds)
        except BackendError:
            return None
        self._sources.api_gate.healthy = began
        return answer.seconds

    async def _probe_deep(self) -> bool | None:
        """Whether the API answered a JSON object from its database; None when this build does not allow the request."""
        try:
            await self._probe(DEEP, self._settings.deep_path, self._settings.deep_timeout_seconds)
        except BackendError as error:
            return None if error.reason in NOT_OURS_TO_ASK else False
        return True

    async def _probe(self, endpoint: str, path: str, timeout_seconds: float) -> Response:
        """One counted and timed request; raises BackendError unless the answer is 2xx (and, when deep, JSON)."""
        try:
            call = Call(f"{self._url}{path}", timeout_seconds, headers=FRESH_CONNECTION)
            response = await (ask(self._sources, call) if endpoint == DEEP else self._http.send(call))
            self._observe(endpoint, response.seconds)
            self._statuses[endpoint,] = response.status
            response.require_ok()
            if endpoint == DEEP and not isinstance(response.json(), dict):
                raise PermanentError(Reason.MALFORMED, "the answer is not a JSON object")
        except BackendError as error:
            self._failures.add((endpoint, error.reason))
            if error.reason is Reason.TIMEOUT:
                self._observe(endpoint, timeout_seconds)
            raise
        return response

    def _observe(self, endpoint: str, seconds: float) -> None:
        """Adds one duration to both histograms."""
        self._durations.observe(seconds, (endpoint,))
        self._guide.observe(seconds)


def read_cache_statistics(body: object) -> bool | None:
    """Whether the API reached its Redis: /pip/cache/stats answers 200 even if not, with an `error` inside."""
    statistics = body.get("cache_stats") if isinstance(body, dict) else None
    if not isinstance(statistics, dict):
        return None
    if "error" in statistics:
        return False
    keys = statistics.get("total_keys")
    return True if isinstance(keys, int) and not isinstance(keys, bool) and keys >= 0 else None
