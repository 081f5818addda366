"""What the rows about policy synchronisation mean. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.audit_labels import OTHER, environment_label
from exporter.catalogue import known

UNFINISHED = frozenset({"triggered", "in_progress"})
"""Statuses of a synchronisation that has not ended, or of a mere request for one."""


@dataclass(frozen=True, slots=True)
class Bouncer:
    """One row of bouncer_opal_configuration; None is unknown."""

    name: str
    environment: str | None
    interval_seconds: float | None
    policies: int | None
    last_success: float | None
    """Unix time of the last synchronisation, when that one succeeded."""
    has_failed: bool | None


@dataclass(frozen=True, slots=True)
class Synced:
    """A bouncer's newest success in the history; None is unknown."""

    at: float | None = None
    seconds: float | None = None
    revision: str | None = None


def read_bouncers(rows: Iterable[Mapping[str, Any]]) -> tuple[Bouncer, ...]:
    """The rows of bouncer_opal_configuration. A synchronisation in progress says nothing of success or failure."""
    return tuple(
        Bouncer(
            row["bouncer"],
            row["environment"],
            row["polling_interval"],
            row["policies_count"],
            known(row["last_sync"]) if row["status"] == "success" else None,
            None if row["status"] is None or row["status"] in UNFINISHED else row["status"] != "success",
        )
        for row in rows
    )


def count_syncs(
    rows: Iterable[Mapping[str, Any]], ended: MutableMapping[str, int], failed: MutableMapping[str, int]
) -> None:
    """Adds the history's rows to each bouncer's synchronisations that ended and that failed."""
    for row in rows:
        if row["status"] not in UNFINISHED:
            ended[row["bouncer"]] = ended.get(row["bouncer"], 0) + row["syncs"]
        if row["status"] == "failed":
            failed[row["bouncer"]] = failed.get(row["bouncer"], 0) + row["syncs"]


def type_and_status(
    kind: str | None, status: str | None, types: Sequence[str], statuses: Sequence[str]
) -> tuple[str, str]:
    """(type, status) as label values of closed sets."""
    return (kind if kind and kind in types else OTHER, status if status and status in statuses else OTHER)


def revision_skew(bouncers: Iterable[Bouncer], revisions: Mapping[str, str | None]) -> dict[str, int]:
    """Distinct revisions minus one, by environment label; an environment without a known revision is not there."""
    found: dict[str, set[str]] = {}
    for bouncer in bouncers:
        revision = revisions.get(bouncer.name)
        if revision:
            found.setdefault(environment_label(bouncer.environment), set()).add(revision)
    return {environment: len(values) - 1 for environment, values in found.items()}
