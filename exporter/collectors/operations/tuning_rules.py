"""Compares settings of PostgreSQL and Redis with recommended ones. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

POSTGRES_RECOMMENDED = {
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "64MB",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "default_statistics_target": "100",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "200",
    "work_mem": "4MB",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
}
"""The DevOps guide's list of postgresql.conf settings (Performance Optimization, System Tuning)."""
REDIS_RECOMMENDED = {
    "maxmemory": "2gb",
    "maxmemory-policy": "allkeys-lru",
    "tcp-keepalive": "60",
    "timeout": "300",
    "tcp-backlog": "511",
}
"""The DevOps guide's list of redis.conf settings."""

NUMBER = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
POSTGRES_UNITS = {
    "": 1.0,
    "b": 1.0,
    **{f"{prefix}b": 1024.0 ** (power + 1) for power, prefix in enumerate(("k", "m", "g", "t"))},
    "8kb": 8192.0,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
"""Units of PostgreSQL's settings (documentation, 20.1 Setting Parameters), as bytes or seconds; powers of 1024."""
REDIS_UNITS = {
    "": 1.0,
    **{prefix: 1000.0 ** (power + 1) for power, prefix in enumerate(("k", "m", "g"))},
    **{f"{prefix}b": 1024.0 ** (power + 1) for power, prefix in enumerate(("k", "m", "g"))},
}
"""Units of redis.conf: k is 1000 and kb is 1024, without regard to case."""
TOLERANCE = 1e-9
SWITCH = frozenset({"on", "off"})
SWITCHES = {"on": "on", "true": "on", "yes": "on", "1": "on", "off": "off", "false": "off", "no": "off", "0": "off"}
"""How postgresql.conf may write what pg_settings shows as on or off (documentation, 20.1 Setting Parameters)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One setting: its text, and its number in bytes, seconds or without unit (None for a word)."""

    text: str
    number: float | None

    def differs_from(self, recommended: Found) -> bool:
        """Whether it is not what is recommended: numbers as numbers, words without regard to case."""
        if self.text in SWITCH:
            return SWITCHES.get(recommended.text.lower(), recommended.text) != self.text
        if self.number is not None and recommended.number is not None:
            return abs(self.number - recommended.number) > TOLERANCE * max(1.0, abs(recommended.number))
        return self.text.strip().lower() != recommended.text.strip().lower()


def read_setting(text: str, units: dict[str, float], unit: str = "") -> Found:
    """A setting from its text, also in quotes; `unit` is that of a bare number (pg_settings.unit)."""
    text = text.strip().strip("'")
    match = NUMBER.fullmatch(text.strip())
    if match is None:
        return Found(text, None)
    factor = units.get((match.group(2) or unit).lower())
    return Found(text, None if factor is None else float(match.group(1)) * factor)
