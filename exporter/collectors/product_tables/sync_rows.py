"""Interprets the rows about policy synchronisation. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.collectors.labels import environments_of
from exporter.items import amount_of, count_of, member_of, past_of, read_each, text_of

UNFINISHED = frozenset({"triggered", "in_progress"})
"""Statuses of a synchronisation that is running or only requested."""


@dataclass(frozen=True, slots=True)
class Bouncer:
    """One row of bouncer_opal_configuration; None is unknown."""

    name: str
    environment: str | None
    interval_seconds: float | None
    policies: float | None
    """Policies that it loaded. The column begins with 0, so 0 is a value only after a success."""
    last_success: float | None
    """Unix time of the last synchronisation, when that one succeeded; one in the future is unknown."""
    has_failed: bool | None


@dataclass(frozen=True, slots=True)
class Synced:
    """A bouncer's newest success in the history; None is unknown."""

    at: float | None = None
    seconds: float | None = None
    revision: str | None = None


def read_bouncers(rows: Iterable[Mapping[str, Any]]) -> tuple[Bouncer, ...]:
    """The rows of bouncer_opal_configuration. A running synchronisation gives neither success nor failure."""
    return tuple(read_each(rows, _read_bouncer))


def _read_bouncer(row: Mapping[str, Any]) -> Bouncer:
    """One of the rows."""
    status, policies = row["status"], amount_of(row["policies_count"])
    return Bouncer(
        text_of(row, "bouncer"),
        row["environment"],
        amount_of(row["polling_interval"]),
        policies if policies or status == "success" else None,
        past_of(row["last_sync"], row["now"]) if status == "success" else None,
        None if status is None or status in UNFINISHED else status != "success",
    )


def count_syncs(
    rows: Iterable[Mapping[str, Any]], ended: MutableMapping[str, int], failed: MutableMapping[str, int]
) -> None:
    """Adds the history's rows to each bouncer's synchronisations that ended and that failed."""

    def read(row: Mapping[str, Any]) -> None:
        bouncer, status, syncs = text_of(row, "bouncer"), row["status"], count_of(row, "syncs")
        if status not in UNFINISHED:
            ended[bouncer] = ended.get(bouncer, 0) + syncs
        if status == "failed":
            failed[bouncer] = failed.get(bouncer, 0) + syncs

    read_each(rows, read)


def type_and_status(kind: object, status: object, types: Sequence[str], statuses: Sequence[str]) -> tuple[str, str]:
    """(type, status) as label values of closed sets."""
    return (
        member_of(kind, types, "bouncer_sync_history.sync_type"),
        member_of(status, statuses, "bouncer_sync_history.status"),
    )


def revision_skew(bouncers: Iterable[Bouncer], revisions: Mapping[str, str | None]) -> dict[str, int]:
    """Distinct revisions minus one, by environment label; an environment without a known revision is left out."""
    found: dict[str, set[str]] = {}
    for bouncer in bouncers:
        revision = revisions.get(bouncer.name)
        for environment in environments_of(bouncer.environment, "bouncer_opal_configuration.environment"):
            if revision:
                found.setdefault(environment, set()).add(revision)
    return {environment: len(values) - 1 for environment, values in found.items()}
