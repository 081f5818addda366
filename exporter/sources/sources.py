"""What collectors share: connections, targets, and the one fact that they tell each other."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.sources.kept_state import KeptState
from exporter.sources.product_zone import ZoneMeter


@dataclass(slots=True)
class ApiGate:
    """Who asks the API, and whether it owes an answer. Times are monotonic seconds."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    given_up: float = -math.inf
    """When we last gave up waiting for an answer."""
    healthy: float = -math.inf
    """When the newest /health began that was answered."""

    @property
    def is_free(self) -> bool:
        """Whether nothing of ours can still be worked on there."""
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
    """What the database canary last saw.

    The API's deep probe asks it first: a deep probe blocks the API's event loop while the database is slow, so it is
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
    """For the canary, which opens a connection of its own each time."""
    redis: RedisSession | None = None
    redis_address: RedisAddress | None = None
    """For the probe, which opens a connection of its own each time."""
    kubernetes: KubernetesClient | None = None
    vanished: tuple[BouncerTarget, ...] = ()
    """Bouncers that were discovered and are gone: down, and not to be asked."""
    database_health: DatabaseHealth = field(default_factory=DatabaseHealth)
    api_gate: ApiGate = field(default_factory=ApiGate)
    """Entered by every request that makes the API work."""
    product_zone: ZoneMeter = field(default_factory=ZoneMeter)
    """How far from UTC the product's now() is; measured by `decisions`, used by every collector that reads one."""
    kept: KeptState = field(default_factory=KeptState)
    """What outlives this configuration."""
