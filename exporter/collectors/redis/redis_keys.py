"""Counts Redis' keys by their content's class, from a sample: no command reads all keys at once.

Redis holds the security audit trail beside a cache that may be evicted; the counts show what an eviction would cost.
Only names of keys are read, never a value.
"""

from __future__ import annotations

from collections import Counter as Tally
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.redis.session import RedisSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

CLASSES = {"pip:conn:": "pip", "rate_limit:": "rate_limit", "audit:security:": "security_audit"}
"""The prefixes of the product's keys, and the class of each."""
OTHER = "other"
LABELS = (*CLASSES.values(), OTHER)
FIRST = "0"
"""The SCAN cursor that begins and ends a pass over all keys."""

KEYS = Metric(
    "controlcore_redis_keys",
    "Keys by class: counted if all were read, otherwise all keys times the class's share of the sample; "
    "absent for a class that the sample lacks.",
    labels=("class",),
)
ALL_KEYS = Metric("controlcore_redis_database_keys", "Keys in the product's database of Redis.")
SAMPLED = Metric("controlcore_redis_keys_sampled", "Keys in the last sample.")


class RedisKeysSettings(CollectorSettings):
    """How many keys are read, and how often."""

    interval_seconds: float = Field(default=60.0, gt=0)
    """Seconds between two samples. Classes grow slowly; smaller only adds work for Redis."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    """Deadline of one sample, over all its commands."""
    command_timeout_seconds: float = Field(default=2.0, gt=0)
    """Deadline of one command. Each reads `step_keys` keys, which takes Redis a fraction of a millisecond."""
    sample_keys: int = Field(default=2000, ge=100, le=100_000)
    """Approximate size of a sample. Up to this many keys are counted exactly. Beyond it, 2000 nearly always finds a
    class that has one key in a hundred. Much larger keeps the connection busy.
    """
    step_keys: int = Field(default=200, ge=10, le=1000)
    """Keys that one SCAN reads. Redis serves no other client during a SCAN, so a larger value blocks it longer."""


@dataclass(slots=True)
class KeySample:
    """The result of a sample."""

    names: set[str] = field(default_factory=set)
    """Different keys: SCAN may return one twice."""
    is_whole: bool = False
    """Whether the sample began and ended a whole pass."""


@collector(scope=Scope.DEPLOYMENT, settings=RedisKeysSettings, metrics=(KEYS, ALL_KEYS, SAMPLED))
class RedisKeysCollector:
    """Sends DBSIZE and a few SCANs, each continuing where the last one ended; reads names only."""

    def __init__(self, settings: RedisKeysSettings, session: RedisSession) -> None:
        self._settings = settings
        self._session = session
        self._cursor = FIRST

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: RedisKeysSettings, sources: Sources) -> AsyncIterator[RedisKeysCollector]:
        """Yields the collector; raises NotConfiguredError without a Redis."""
        if sources.redis is None:
            raise NotConfiguredError("no Redis is configured: set redis.url")
        yield cls(settings, sources.redis)

    async def collect(self) -> Result:
        """Takes a sample; raises BackendError when Redis does not answer or forbids the commands."""
        total = await self._session.count_keys(timeout_seconds=self._settings.command_timeout_seconds)
        if total <= self._settings.sample_keys:
            self._cursor = FIRST  # all of them fit into one sample, so that they are counted
        sample = await self._look()
        return Result((*estimate(sample, total), ALL_KEYS.value(total), SAMPLED.value(len(sample.names))))

    async def _look(self) -> KeySample:
        """The names of one sample. SCAN goes through hash slots, so any part of a pass is a fair sample."""
        settings, sample, begins = self._settings, KeySample(), self._cursor == FIRST
        for _ in range(
            2 * settings.sample_keys // settings.step_keys + 1
        ):  # sparse tables return fewer keys than requested
            self._cursor, names = await self._session.scan(
                self._cursor, settings.step_keys, timeout_seconds=settings.command_timeout_seconds
            )
            sample.names.update(names)
            if self._cursor == FIRST:
                sample.is_whole = begins
                break
            if len(sample.names) >= settings.sample_keys:
                break
        return sample


def estimate(sample: KeySample, total: int) -> tuple[Family, ...]:
    """Keys by class; exact after a whole pass, otherwise the sample's shares of `total`.

    A class missing from the sample is unknown.
    """
    tally = Tally(class_of(name) for name in sample.names)
    if sample.is_whole:
        return (KEYS.family({(label,): tally[label] for label in LABELS}),)
    share = total / len(sample.names) if sample.names else 0.0
    return (KEYS.family({(label,): round(count * share) for label, count in sorted(tally.items())}),)


def class_of(name: str) -> str:
    """The class of a key."""
    return next((label for beginning, label in CLASSES.items() if name.startswith(beginning)), OTHER)
