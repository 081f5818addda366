"""Says where PostgreSQL's and Redis' settings differ from those that the product's DevOps guide recommends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from chassis.errors import BackendError
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.operations.tuning_rules import (
    POSTGRES_RECOMMENDED,
    POSTGRES_UNITS,
    REDIS_RECOMMENDED,
    REDIS_UNITS,
    Found,
    read_setting,
)
from exporter.items import read_each
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from chassis.redis.session import RedisSession
    from exporter.sources.sources import Sources

POSTGRES, REDIS = "postgres", "redis"
DRIFT = Metric(
    "controlcore_tuning_drift",
    "Whether the setting differs from the recommended one; absent when it cannot be read.",
    labels=("component", "setting"),
)
VALUE = Metric(
    "controlcore_tuning_setting_value",
    "Current value of the setting, in bytes, seconds or without unit; absent when it is not a number.",
    labels=("component", "setting"),
)
UNREADABLE = Metric(
    "controlcore_tuning_unreadable",
    "Settings that could not be read: the server forbids it, or lacks the setting.",
    labels=("component", "reason"),
)

# pg_settings: every role may read it, except superuser settings, which are not queried.
SETTINGS = "SELECT name, setting, coalesce(unit, '') AS unit FROM pg_settings WHERE name = ANY($1::text[])"

# Fields of INFO (section memory) that say the same as CONFIG GET, which managed services forbid.
INFO_FIELDS = {"maxmemory": "maxmemory", "maxmemory-policy": "maxmemory_policy"}


class TuningSettings(CollectorSettings):
    """The recommended settings. A name missing from a mapping is not compared."""

    interval_seconds: float = Field(default=300.0, gt=0)
    """Seconds between two comparisons. Settings change by hand; smaller only adds queries."""
    timeout_seconds: float = Field(default=15.0, gt=0)
    """Deadline of one collection, over all its queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy server."""
    postgres: dict[str, str] = Field(default_factory=lambda: dict(POSTGRES_RECOMMENDED), max_length=100)
    """Recommended value by PostgreSQL setting, as in postgresql.conf: the DevOps guide's own, which fit a small server.
    A larger server should differ: write its values here, otherwise intended differences are reported as drift."""
    redis: dict[str, str] = Field(default_factory=lambda: dict(REDIS_RECOMMENDED), max_length=100)
    """The same for Redis, as in redis.conf. The guide's allkeys-lru can evict the product's security audit trail."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=TuningSettings,
    metrics=(DRIFT, VALUE, UNREADABLE),
)
class TuningCollector:
    """Reads pg_settings and CONFIG GET (or INFO, where CONFIG is forbidden)."""

    def __init__(self, settings: TuningSettings, postgres: PostgresSession | None, redis: RedisSession | None) -> None:
        self._settings = settings
        self._postgres = postgres
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: TuningSettings, sources: Sources) -> AsyncIterator[TuningCollector]:
        """Yields the collector; raises NotConfiguredError without a database and without Redis."""
        if sources.postgres is None and sources.redis is None:
            raise NotConfiguredError("neither a database nor Redis is configured")
        yield cls(settings, sources.postgres, sources.redis)

    async def collect(self) -> Result:
        """Compares both; if one does not answer, its values are absent and the collection fails in part.

        Raises when nothing is known.
        """
        found: dict[tuple[str, str], tuple[Found, Found]] = {}
        unreadable: dict[tuple[str, str], float] = {}
        failures: list[BackendError] = []
        for component, compare in ((POSTGRES, self._read_postgres), (REDIS, self._read_redis)):
            try:
                found |= {(component, name): pair for name, pair in (await compare(unreadable)).items()}
            except BackendError as error:
                failures.append(error)
        if failures and not found:
            raise failures[0]
        families = (
            DRIFT.family({labels: setting.differs_from(wanted) for labels, (setting, wanted) in found.items()}),
            VALUE.family((labels, item.number) for labels, (item, _) in found.items() if item.number is not None),
            UNREADABLE.family(unreadable),
        )
        return Result(families, failure=failures[0] if failures else None)

    async def _read_postgres(self, unreadable: dict[tuple[str, str], float]) -> dict[str, tuple[Found, Found]]:
        """The settings that PostgreSQL has, each with the recommended value; `unreadable` counts the others.

        A bare number is in the setting's own unit, as in postgresql.conf.
        """
        if self._postgres is None or not self._settings.postgres:
            return {}
        rows: Sequence[Mapping[str, Any]] = await self._postgres.fetch(
            SETTINGS, list(self._settings.postgres), timeout_seconds=self._settings.query_timeout_seconds
        )
        wanted = self._settings.postgres

        def read(row: Mapping[str, Any]) -> tuple[str, tuple[Found, Found]]:
            name, unit = row["name"], row["unit"]
            recommended = read_setting(wanted[name], POSTGRES_UNITS, unit)
            return name, (read_setting(row["setting"], POSTGRES_UNITS, unit), recommended)

        found = dict(read_each(rows, read))
        unreadable[POSTGRES, "unknown"] = len(wanted) - len(found)
        return found

    async def _read_redis(self, unreadable: dict[tuple[str, str], float]) -> dict[str, tuple[Found, Found]]:
        """The settings that Redis reports, each with the recommended value; `unreadable` counts the others."""
        if self._redis is None or not self._settings.redis:
            return {}
        deadline = self._settings.query_timeout_seconds
        found = {name: await self._redis.config_get(name, timeout_seconds=deadline) for name in self._settings.redis}
        is_forbidden = all(text is None for text in found.values())
        if is_forbidden:
            info = await self._redis.info("memory", timeout_seconds=deadline)
            found |= {name: str(info[field]) for name, field in INFO_FIELDS.items() if name in found and field in info}
        missing = sum(text is None for text in found.values())
        unreadable[REDIS, "forbidden"] = missing if is_forbidden else 0
        unreadable[REDIS, "unknown"] = 0 if is_forbidden else missing
        return {
            name: (read_setting(text, REDIS_UNITS), read_setting(self._settings.redis[name], REDIS_UNITS))
            for name, text in found.items()
            if text is not None
        }
