"""Alerts as Alertmanager sends them, and their targets. Immutable values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from remediations.core.fields import PolicySection, Text, TextForm

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(?:\.{LABEL.pattern})*")


class Mode(StrEnum):
    """How far a policy may go."""

    OBSERVE = "observe"
    """Decides and journals; needs get and list only."""
    DRY_RUN = "dry_run"
    """Takes the same path and sends its writes with dryRun=All where it has the right; changes nothing."""
    APPROVE = "approve"
    """Acts once a person has approved this very plan."""
    AUTO = "auto"
    """Acts."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a webhook payload (version 4), as far as it is used."""

    fingerprint: str
    name: str
    is_firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: str = ""
    """RFC 3339, as sent. Moves under HA Prometheus: never part of an identity."""


@dataclass(frozen=True, slots=True, order=True)
class Target(PolicySection):
    """An object that a policy may touch, by its Kubernetes identity."""

    namespace: Annotated[str, TextForm(LABEL, "the name of a namespace")]
    """Its namespace; for what is no Kubernetes object, where it runs."""
    kind: Text
    """What it is. Only a `Deployment` and a `CronJob` are Kubernetes objects; of the other kinds the name is for
    people, and the address stands in `parameters` or in the program's settings."""
    name: Annotated[str, TextForm(SUBDOMAIN, "the name of an object")]
    """Its name. PostgreSQL and Redis are never accepted as workloads."""

    @property
    def key(self) -> str:
        """`kind/namespace/name`: the identity under which at most one action is in flight."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Match:
    """An alert together with the policy and target that it was matched to."""

    alert: Alert
    policy: str
    target: Target
    content: str = ""
    """Digest of what the alert is about, without what differs between two senders of the same; empty: not known."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A piece of a payload that could not be read: kept as it came, bounded."""

    problem: str
    raw: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one webhook request brought, after matching."""

    received_at: float
    matches: tuple[Match, ...]
    unmatched: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    duplicate_seconds: float = 0.0
    """A firing alert with the content of one stored less than this long ago is the same delivery again: it joins what
    is open, and begins nothing when that has closed with a result. In between a `resolved` makes it a new one."""
