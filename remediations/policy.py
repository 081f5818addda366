"""Policies: which alert may lead to which action on which object, and everything that must be true first.

`parse_policies` (below) turns the YAML document into these values and reports all faults at once with their paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from remediations.model import Mode, Target


class MatchType(StrEnum):
    """Alertmanager's matcher operators."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One Alertmanager matcher; regular expressions are anchored, an absent label is the empty string."""

    label: str
    type: MatchType
    value: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus, and what makes its answer fresh."""

    promql: str
    """Must give at most one sample; 0 is false, any other number true, no sample unknown."""
    collectors: tuple[str, ...] = ()
    """Exporter collectors behind it: the answer is as old as the oldest of their last_success timestamps."""
    max_age_seconds: float = 60.0
    """Older than this is unknown."""


class WitnessKind(StrEnum):
    """How a second opinion is had, independently of the exporter."""

    PODS_READY = "pods_ready"
    """Confirms the fault when no pod of the workload is Ready."""
    HTTP = "http"
    """Confirms the fault when a GET by the remediator itself gets no 2xx in time."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One independent opinion on whether the fault is real. At least one must confirm a restart, beside the condition."""

    name: str
    kind: WitnessKind
    url: str = ""
    timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Policy:
    """One row of the policy file, complete with defaults."""

    name: str
    action: str
    targets: tuple[Target, ...]
    """The allow-list; when there are several, the alert's labels namespace/deployment choose among them."""
    condition: Query
    verify: Query
    mode: Mode = Mode.DRY_RUN
    match: tuple[Matcher, ...] = ()
    """Beside these, an alert whose label `remediation` equals `name` belongs to this policy."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The action's own settings, validated by the action's file."""
    witnesses: tuple[Witness, ...] = ()
    dependencies: tuple[str, ...] = ()
    """Names in PolicySet.dependencies that must be up."""
    cooldown_seconds: float = 900.0
    """Least time between two writes to the same target by this policy."""
    budget_actions: int = 2
    budget_seconds: float = 3600.0
    """At most this many writes by this policy in this time."""
    verify_timeout_seconds: float = 600.0
    """After this much time from the write without proof the outcome is `unverified` or `failed`."""
    expires_seconds: float = 900.0
    """A remediation that could not act within this time from its alert closes as `expired`."""
    retry_seconds: float = 15.0
    """Seconds after a Hold until the facts are gathered again."""


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The whole policy file."""

    policies: tuple[Policy, ...]
    identity: tuple[Matcher, ...] = ()
    """Must match an alert's labels before any policy acts on it; mandatory as soon as one policy is `auto`."""
    dependencies: Mapping[str, Query] = field(default_factory=dict)
    """Name → a query that is true while the dependency is up."""
    max_actions: int = 5
    max_actions_seconds: float = 3600.0
    """At most this many writes in this time by all policies together."""
