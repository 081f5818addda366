"""Reads the control plane's bouncers: which are registered, and when each last sent a heartbeat.

The product never resets its own verdicts (is_connected, status), so only the heartbeat's age is reliable in this table;
`policy` queries each configured bouncer directly. Anyone who reaches the API can register a bouncer and send
heartbeats, so no address from this table is ever used.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.labels import ENVIRONMENTS, environment_label, environments_of
from exporter.items import (
    FUTURE_SECONDS,
    Loss,
    amount_of,
    count_of,
    flag_of,
    note,
    number_of,
    read_each,
    text_of,
)
from exporter.metrics import Metric, plain_word
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from chassis.postgres.session import PostgresSession
    from exporter.metrics import Family
    from exporter.sources.sources import Sources

    Rows = Sequence[Mapping[str, Any]]

BOUNCER = ("bouncer", "policy_environment")
HEARTBEAT = Metric(
    "controlcore_bouncer_last_heartbeat_timestamp_seconds",
    "Time of the bouncer's last heartbeat as the control plane stored it; absent before the first.",
    labels=BOUNCER,
    unit="seconds",
)
CONNECTED = Metric(
    "controlcore_bouncer_connected",
    "Whether the last heartbeat is recent, by the database's clock; absent if there is none or it lies in the future.",
    labels=BOUNCER,
)
DECLARED = Metric(
    "controlcore_bouncer_declared_connected",
    "The product's column is_connected; the product never sets it back to false.",
    labels=BOUNCER,
)
INTERCEPTING = Metric("controlcore_bouncer_intercepting", "The product's column intercepting_traffic.", labels=BOUNCER)
INFO = Metric(
    "controlcore_bouncer_info",
    "Always 1; the labels say how the bouncer registered.",
    labels=(*BOUNCER, "mode", "version"),
)
REGISTERED = Metric(
    "controlcore_bouncers_registered",
    "Bouncers in the control plane's table, including those without their own series.",
    labels=("policy_environment",),
)
OMITTED = Metric("controlcore_bouncers_omitted", "Registered bouncers without their own series, because of the limit.")
PAIRING = Metric(
    "controlcore_resource_bouncers",
    "Whether a protected resource has a bouncer in the environment.",
    labels=("resource", "policy_environment"),
)
UNPAIRED = Metric(
    "controlcore_resources_unpaired", "Protected resources without a bouncer in sandbox or without one in production."
)

# peps.last_heartbeat is UTC without a zone (the product writes utcnow()). A bouncer that POST /peps/ made has no
# bouncer_id until it registers; it is named by its id. Configured bouncers come first, so that a
# flood of forged registrations cannot push them over the limit. Seconds are subtracted, because the difference of an
# infinite timestamp is an error.
BOUNCERS = """
SELECT coalesce(nullif(bouncer_id::text, ''), id::text) AS bouncer, environment::text AS environment,
       deployment_mode::text AS mode, bouncer_version::text AS version, is_connected, intercepting_traffic,
       extract(epoch FROM last_heartbeat AT TIME ZONE 'UTC')::float8 AS heartbeat,
       extract(epoch FROM now())::float8 - extract(epoch FROM last_heartbeat AT TIME ZONE 'UTC')::float8 AS age
  FROM peps
 ORDER BY (bouncer_id IS NOT NULL AND bouncer_id::text = ANY($1::text[])) DESC, id
 LIMIT $2
"""

COUNTS = "SELECT environment::text AS environment, count(*) AS bouncers FROM peps GROUP BY 1"

# Resources with the same name are the two sides of a pair; a resource without a bouncer has neither.
PAIRS = """
WITH pairs AS (
    SELECT r.name::text AS resource, coalesce(bool_or(p.environment::text IN ('sandbox', 'both')), false) AS sandbox,
           coalesce(bool_or(p.environment::text IN ('production', 'both')), false) AS production
      FROM protected_resources r LEFT JOIN peps p ON p.id = r.bouncer_id
     GROUP BY 1
)
SELECT resource, sandbox, production, count(*) FILTER (WHERE NOT (sandbox AND production)) OVER () AS unpaired
  FROM pairs
 ORDER BY resource
 LIMIT $1
"""


class BouncersSettings(CollectorSettings):
    """How the bouncers are read."""

    interval_seconds: float = Field(default=15.0, gt=0)
    """Seconds between two readings; heartbeats come every 30 s. Smaller only adds queries."""
    query_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of one query. Too small fails on a busy database."""
    heartbeat_age_seconds: float = Field(default=90.0, gt=0)
    """Age from which a heartbeat no longer counts as connected: three of the product's 30 s. Too small flaps when one
    heartbeat is lost, too large hides a dead bouncer."""
    max_bouncers: int = Field(default=200, ge=1)
    """Bouncers with their own series. The product allows 100 in a shard; more is a flood of registrations."""
    max_resources: int = Field(default=100, ge=0)
    """Protected resources with their own series, by name. 0 leaves only the number of unpaired ones."""


@collector(
    scope=Scope.DEPLOYMENT,
    settings=BouncersSettings,
    # Totals come first: a flood of rows must not push them over the limit of series.
    metrics=(REGISTERED, OMITTED, UNPAIRED, HEARTBEAT, CONNECTED, DECLARED, INTERCEPTING, INFO, PAIRING),
    grants=(
        "GRANT SELECT (id, bouncer_id, environment, deployment_mode, bouncer_version) ON peps TO cc_exporter",
        "GRANT SELECT (is_connected, intercepting_traffic, last_heartbeat) ON peps TO cc_exporter",
        "GRANT SELECT (name, bouncer_id) ON protected_resources TO cc_exporter",
    ),
)
class BouncersCollector:
    """Reads peps and protected_resources; heartbeats can be forged, so pair them with the direct probe."""

    def __init__(self, settings: BouncersSettings, postgres: PostgresSession, configured: tuple[str, ...]) -> None:
        self._settings = settings
        self._postgres = postgres
        self._configured = configured

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BouncersSettings, sources: Sources) -> AsyncIterator[BouncersCollector]:
        """Yields the collector; raises NotConfiguredError without a database."""
        if sources.postgres is None:
            raise NotConfiguredError("no database is configured: set database.url")
        yield cls(settings, sources.postgres, tuple(bouncer.name for bouncer in sources.settings.bouncers))

    async def collect(self) -> Result:
        """Reads the tables; raises BackendError when the database does not answer."""
        bouncers = await self._fetch(BOUNCERS, list(self._configured), self._settings.max_bouncers)
        counts = await self._fetch(COUNTS)
        pairs = await self._fetch(PAIRS, max(1, self._settings.max_resources))
        families = (
            *read_bouncers(bouncers, self._settings.heartbeat_age_seconds),
            *read_counts(counts, len(bouncers)),
            *read_pairs(pairs, self._settings.max_resources),
        )
        return Result(families)

    async def _fetch(self, sql: str, *arguments: object) -> Sequence[Any]:
        """The rows of one query under its deadline."""
        return await self._postgres.fetch(sql, *arguments, timeout_seconds=self._settings.query_timeout_seconds)


def read_bouncers(rows: Rows, heartbeat_age_seconds: float) -> tuple[Family, ...]:
    """The families of BOUNCERS' rows; a null publishes nothing.

    For a bouncer that never sent a heartbeat only its existence is published: its other columns hold the table's
    defaults.
    """
    samples: dict[Metric, dict[tuple[str, ...], float]] = {
        metric: {} for metric in (HEARTBEAT, CONNECTED, DECLARED, INTERCEPTING, INFO)
    }

    def read(row: Mapping[str, Any]) -> None:
        labels = (text_of(row, "bouncer"), environment_label(row["environment"], "peps.environment"))
        age = number_of(row["age"])
        is_future = age is not None and age < -FUTURE_SECONDS
        if is_future:
            note(Loss.FUTURE)
        has_registered = row["heartbeat"] is not None
        values = {
            HEARTBEAT: None if is_future else number_of(row["heartbeat"]),
            CONNECTED: is_recent(age, heartbeat_age_seconds),
            DECLARED: flag_of(row["is_connected"]) if has_registered else None,
            INTERCEPTING: flag_of(row["intercepting_traffic"]) if has_registered else None,
        }
        about = (row["mode"], row["version"]) if has_registered else ("", "")
        info = (*labels, *(plain_word(word) for word in about))
        for metric, value in values.items():
            if value is not None:
                samples[metric].setdefault(labels, value)
        samples[INFO][info] = 1

    read_each(rows, read)
    return tuple(metric.family(values) for metric, values in samples.items())


def read_counts(rows: Rows, shown: int) -> tuple[Family, ...]:
    """Registered bouncers by environment from COUNTS' rows, and how many of them are not `shown`."""
    counts = dict.fromkeys(ENVIRONMENTS, 0)

    def read(row: Mapping[str, Any]) -> int:
        bouncers = count_of(row, "bouncers")
        for label in environments_of(row["environment"], "peps.environment"):
            counts[label] = counts.get(label, 0) + bouncers
        return bouncers

    omitted = max(0, sum(read_each(rows, read)) - shown)
    return REGISTERED.family({(name,): count for name, count in counts.items()}), OMITTED.value(omitted)


def read_pairs(rows: Rows, max_resources: int) -> tuple[Family, ...]:
    """Which resources have a bouncer where, from PAIRS' rows."""
    samples: dict[tuple[str, ...], float] = {}

    def read(row: Mapping[str, Any]) -> None:
        resource, states = text_of(row, "resource"), [bool(row[environment]) for environment in ENVIRONMENTS]
        samples.update({(resource, name): state for name, state in zip(ENVIRONMENTS, states, strict=True)})

    read_each(rows[:max_resources], read)
    return PAIRING.family(samples), UNPAIRED.value(amount_of(rows[0]["unpaired"]) if rows else 0)


def is_recent(age_seconds: float | None, limit_seconds: float) -> bool | None:
    """Whether a heartbeat of this age is recent; None when there is none, or when it lies in the future."""
    if age_seconds is None or not -FUTURE_SECONDS <= age_seconds < math.inf:
        return None
    return age_seconds < limit_seconds
