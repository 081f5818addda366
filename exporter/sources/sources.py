"""Shared by collectors: connections, targets, and the database canary's result."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.sources.kept_state import KeptState
from exporter.sources.product_zone import ZoneMeter


@dataclass(slots=True)
class ApiGate:
    """Whether a request to the API runs or is still unanswered. Times are monotonic seconds."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    given_up: float = -math.inf
    """When we last abandoned a request."""
    healthy: float = -math.inf
    """Start of the newest answered /health."""

    @property
    def is_free(self) -> bool:
        """Whether the API no longer works on any of our requests."""
        return self.healthy >= self.given_up


if TYPE_CHECKING:
    from chassis.clock import Clock
    from chassis.http.client import HttpClient
    from chassis.kubernetes.client import KubernetesClient
    from chassis.postgres.address import PostgresAddress
    from chassis.postgres.session import PostgresSession
    from chassis.redis.address import RedisAddress
    from chassis.redis.session import RedisSession
    from exporter.settings import BouncerTarget, ExporterSettings


@dataclass(slots=True)
class DatabaseHealth:
    """The last result of the database canary.

    The API's deep probe checks it first: a deep probe blocks the API's event loop while the database is slow, so it is
    suspended unless the last canary was recent, successful and quick.
    """

    is_ok: bool | None = None
    """None until the first canary, or without a configured database."""
    seconds: float | None = None
    """Duration of the last successful canary."""
    checked_monotonic: float | None = None
    """Clock.monotonic() at the end of the last canary."""

    def may_probe(self, now_monotonic: float, *, slow_seconds: float, max_age_seconds: float) -> bool:
        """Whether a deep probe does no harm now. Without a database canary this is unknown, and the answer is no."""
        if self.is_ok is not True or self.seconds is None or self.checked_monotonic is None:
            return False
        return self.seconds <= slow_seconds and now_monotonic - self.checked_monotonic <= max_age_seconds


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything a collector may read from; None means that source is not configured."""

    clock: Clock
    settings: ExporterSettings
    http: HttpClient
    postgres: PostgresSession | None = None
    """The one pooled connection for statistics, shared by all SQL collectors."""
    postgres_address: PostgresAddress | None = None
    """For the canary, which opens a new connection each time."""
    redis: RedisSession | None = None
    redis_address: RedisAddress | None = None
    """For the probe, which opens a new connection each time."""
    kubernetes: KubernetesClient | None = None
    vanished: tuple[BouncerTarget, ...] = ()
    """Discovered bouncers that are gone: they count as down and are not queried."""
    database_health: DatabaseHealth = field(default_factory=DatabaseHealth)
    api_gate: ApiGate = field(default_factory=ApiGate)
    """Every request that makes the API work enters it."""
    product_zone: ZoneMeter = field(default_factory=ZoneMeter)
    """How far from UTC the product's now() is; measured by `decisions`, used by every collector that reads one."""
    kept: KeptState = field(default_factory=KeptState)
    """State that outlives this configuration."""
