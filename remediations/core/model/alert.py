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
    """Takes the same path and sends its writes with dryRun=All if it has the right; changes nothing."""
    APPROVE = "approve"
    """Acts once a person has approved exactly this plan."""
    AUTO = "auto"
    """Acts."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a webhook payload (version 4), with the fields that are used."""

    fingerprint: str
    name: str
    is_firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: str = ""
    """RFC 3339, as sent. It differs between two Prometheus servers, so it is never part of an identity."""


@dataclass(frozen=True, slots=True, order=True)
class Target(PolicySection):
    """An object that a policy may touch, by its Kubernetes identity."""

    namespace: Annotated[str, TextForm(LABEL, "the name of a namespace")]
    """Its namespace; if it is not a Kubernetes object, the namespace in which it runs."""
    kind: Text
    """Kind of object. Only a `Deployment` and a `CronJob` are Kubernetes objects; other kinds are only names for
    people, and their address is in `parameters` or in the program's settings."""
    name: Annotated[str, TextForm(SUBDOMAIN, "the name of an object")]
    """Its name. PostgreSQL and Redis are never accepted as workloads."""

    @property
    def key(self) -> str:
        """`kind/namespace/name`: the identity under which at most one action is in flight."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Match:
    """An alert with its matching policy and target."""

    alert: Alert
    policy: str
    target: Target
    content: str = ""
    """Digest of the alert without the labels that differ between two senders; empty if unknown."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A part of a payload that could not be read, stored as it arrived, cut."""

    problem: str
    raw: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """The content of one webhook request, after matching."""

    received_at: float
    matches: tuple[Match, ...]
    unmatched: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    duplicate_seconds: float = 0.0
    """A firing alert with the same content as one stored less than this time ago is a repeated delivery: it joins an
    open remediation, and begins nothing if that has closed with a result. After a `resolved` it is new."""
