"""Tests Redis as a new client would (PING on a fresh connection), and reads its INFO.

"Down" is a finding, not a failure of this collector: its values stay fresh while Redis is down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import CONNECTION_REASONS, OUR_ACCESS, BackendError, Reason
from chassis.log import get_logger
from chassis.redis.refusals import REFUSALS
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.redis.info import INFO_METRICS, read_info, read_server
from exporter.metrics import FAST_BUCKETS, Counter, Histogram, Kind, Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.clock import Clock
    from chassis.redis.address import RedisAddress
    from chassis.redis.session import RedisSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

COMPONENT = "redis"

UP = Metric(
    "controlcore_redis_up",
    "Whether the last PING on a fresh connection was answered, even with an error; absent when only our own "
    "access failed, such as a wrong password.",
)
REFUSED = Metric(
    "controlcore_redis_ping_refused",
    "Whether the last PING was answered with this error (1), which most other commands get too; absent while Redis is"
    " down.",
    labels=("error",),
)
PING_DURATION = Metric(
    "controlcore_redis_ping_duration_seconds",
    "Duration of an answered probe: connect, authenticate, PING.",
    Kind.HISTOGRAM,
    unit="seconds",
    buckets=FAST_BUCKETS,
)
FAILURES = Metric(
    "controlcore_redis_connection_failures_total",
    "Probes that got no answer or whose credentials Redis refused, by reason.",
    Kind.COUNTER,
    labels=("reason",),
)
SERVER_CHANGES = Metric(
    "controlcore_redis_server_changes_total",
    "Times that a fresh connection reached another server than the kept one, which was then reopened.",
    Kind.COUNTER,
)
Probe = Callable[["RedisAddress", float], Awaitable[float]]
"""Connects, authenticates and PINGs within the given seconds; returns the duration, raises BackendError."""


class RedisCollectorSettings(CollectorSettings):
    """How often Redis is queried."""

    timeout_seconds: float = 6.0
    """Deadline of one collection; above the probe's and INFO's together, so that neither is cut off."""
    probe_timeout_seconds: float = Field(default=1.8, gt=0)
    """Deadline of the PING. A healthy Redis answers within a millisecond. Too small reports a slow fork as an outage.
    Above two seconds a frozen Redis is detected later than an interval and two seconds.
    """
    info_timeout_seconds: float = Field(default=2.0, gt=0)
    """Deadline of INFO. Too small loses the statistics of a busy server."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=RedisCollectorSettings,
    metrics=(
        UP,
        PING_DURATION,
        FAILURES,
        REFUSED,
        SERVER_CHANGES,
        *INFO_METRICS,
    ),
    always=(UP.name, PING_DURATION.name, FAILURES.name),
)
class RedisCollector:
    """Probes with a fresh connection and reads INFO over a kept one. Component `redis` is up like redis_up.

    A Redis that answers with an error (LOADING, BUSY, MISCONF, …) is up, and redis_ping_refused names it. When only our
    own access fails (OUR_ACCESS) it is unknown whether Redis serves others. At the limit of clients redis_up is 0 with
    the reason `exhausted`: the product opens new connections and gets none.
    """

    def __init__(
        self,
        settings: RedisCollectorSettings,
        address: RedisAddress,
        session: RedisSession,
        probe: Probe,
        server_changes: Callable[[], int | None] = lambda: None,
        *,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._address = address
        self._session = session
        self._probe = probe
        self._server_changes = server_changes
        self._clock = clock
        self._refused = ""
        self._failures = Counter(FAILURES).initialise((reason,) for reason in CONNECTION_REASONS)
        self._durations = Histogram(PING_DURATION).initialise([()])

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: RedisCollectorSettings, sources: Sources) -> AsyncIterator[RedisCollector]:
        """Yields the collector; raises NotConfiguredError without a Redis."""
        if sources.redis is None or sources.redis_address is None:
            raise NotConfiguredError("no Redis is configured: set redis.url")
        session = sources.redis
        yield cls(
            settings,
            sources.redis_address,
            session,
            session.probe,
            lambda: session.server_changes,
            clock=sources.clock,
        )

    async def collect(self) -> Result:
        """Probes, then reads INFO if the probe was answered; if only INFO fails, the collection fails in part."""
        try:
            self._durations.observe(await self._probe(self._address, self._settings.probe_timeout_seconds))
        except BackendError as error:
            if not error.code or error.reason in {Reason.AUTH, Reason.PERMISSION}:
                self._failures.add((error.reason,))
            self._note(error.code, str(error))
            if not error.code:
                if error.reason in OUR_ACCESS:
                    return Result(self._verdict(is_up=None), refused={COMPONENT: self._address.own_fault(error)})
                return Result(self._verdict(is_up=False), {COMPONENT: False})
        else:
            self._note("", "")
        try:
            fields = await self._session.info(timeout_seconds=self._settings.info_timeout_seconds)
        except BackendError as error:
            return Result(self._verdict(is_up=True), {COMPONENT: True}, error)
        _, version = read_server(fields)
        versions = {} if version is None else {COMPONENT: version}
        families = (*self._verdict(is_up=True), *read_info(fields, self._clock.now()))
        return Result(families, {COMPONENT: True}, versions=versions)

    def _note(self, refused: str, message: str) -> None:
        """Records Redis' error answer to PING, and logs it when it changed."""
        if refused and refused != self._refused:
            get_logger().warning("redis.ping_refused", error=refused.lower(), message=message)
        self._refused = refused

    def _verdict(self, *, is_up: bool | None) -> tuple[Family, ...]:
        """The result of the probe alone; `is_up` None when only our own access failed."""
        changes = SERVER_CHANGES.value(self._server_changes())
        refused = {(code.lower(),): code == self._refused for code in REFUSALS} if is_up else {}
        return (UP.value(is_up), self._durations.family(), self._failures.family(), REFUSED.family(refused), changes)
