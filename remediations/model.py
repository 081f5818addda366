"""What a decision is made of: alert, target, facts and history as immutable values, no I/O.

An alert is a hint. A policy owns the condition, the targets and everything that is asked of Prometheus or Kubernetes;
an alert contributes identity and state, nothing else. `decide` turns policy, facts and history into a Decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from remediations.circumstances import Approval, BreakerReset, Change, Pods, ProcessStart, Template
from remediations.sights import Sights
from remediations.states import State
from remediations.undo import TakingBack
from remediations.workload import Autoscaler, Budgets, Workload

T = TypeVar("T")

ANNOTATION_OPERATION = "controlcore.io/operation-id"
"""On the object and, for a restart, in the pod template: names the remediation that wrote."""
ANNOTATION_RAISED = "controlcore.io/raised-"
"""With a field's name behind it, on an autoscaler: `BEFORE..AFTER`, the number before we raised it and our last one."""
ANNOTATION_HANDS_OFF = "controlcore.io/hands-off"
"""Set to `true` by a person on an object that must not be touched."""
FIELD_MANAGER = "controlcore-remediator"
MISSING = "missing"
"""`Fact.problem` (or its first word) of an object that was asked for and does not exist; anything else is unknown."""


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
class Target:
    """An object that a policy may touch, by its Kubernetes identity."""

    namespace: str
    kind: str
    name: str

    @property
    def key(self) -> str:
        """`kind/namespace/name`: the identity under which at most one action is in flight."""
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """Something that was asked. `value` None means unknown, and then `problem` says why."""

    value: T | None
    source: str
    """Where it was asked, for the story: a PromQL query, an API path, a URL."""
    problem: str = ""
    collected_at: float | None = None
    """Unix seconds at which the value was true (not when it was scraped or asked), where that is known."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A kill switch somebody set: who, why, until when (Unix seconds; None until resumed)."""

    name: str
    owner: str
    reason: str
    until: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was asked before deciding. What was not asked stays a Fact without value."""

    condition: Fact[bool]
    """True while the policy's own condition still holds; False when it is gone."""
    dependencies: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of the dependency → whether it is up."""
    witnesses: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of the witness → whether it confirms the fault."""
    workload: Fact[Workload] = field(default_factory=lambda: Fact(None, "", "not asked"))
    has_orchestrator: bool = False
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """All HPAs whose scaleTargetRef names the target; an empty tuple means: asked, none."""
    budgets: Fact[Budgets] = field(default_factory=lambda: Fact(None, "", "not asked"))
    pauses: tuple[Pause, ...] = ()
    sights: Sights = field(default_factory=Sights)
    """What the policy's action alone needs to know."""
    start: Fact[ProcessStart] = field(default_factory=lambda: Fact(None, "", "not asked"))
    mutes: Fact[tuple[str, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """What silences, inhibits or mutes the alert in Alertmanager; an empty tuple means: asked, nothing."""
    changes: Fact[tuple[Change, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """What others changed on the target, newest first."""
    template: Fact[Template] = field(default_factory=lambda: Fact(None, "", "not asked"))
    pods: Fact[Pods] = field(default_factory=lambda: Fact(None, "", "not asked"))
    connection_limit: Fact[float] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """How many connections the database accepts."""
    locks: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of a lock of the policy file → whether it is held (a recovery or a backup runs)."""
    custom: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of a policy's own guard → whether its query had any sample."""
    self_test: Fact[bool] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """Whether the API server refuses what no policy allows; False with `problem` saying what it lets through."""
    taking_back: TakingBack | None = None
    """What a revert takes back, as the journal knows it; None for everything else."""


@dataclass(frozen=True, slots=True)
class PastAction:
    """A write that the journal remembers: when it began, on what, by which policy, and how it ended."""

    remediation: str
    policy: str
    target: Target
    action: str
    written_at: float
    state: State
    reason: str = ""
    """Why it ended so, from a closed set."""
    attempts: int = 0
    """How often it was sent, proven or not, as far as that has been counted."""


@dataclass(frozen=True, slots=True)
class History:
    """What the journal knows that matters for a decision."""

    actions: tuple[PastAction, ...] = ()
    """Writes of the last 24 hours, newest first, over all targets."""
    in_flight: tuple[str, ...] = ()
    """Ids of other remediations in flight on the same target."""
    attempts: int = 0
    """How often this very remediation has sent a write, proven or not."""
    arrivals: tuple[float, ...] = ()
    """When alerts that were not known before arrived (Unix seconds), newest first, as far back as a storm is held."""
    approval: Approval | None = None
    """The newest answer of a person to this remediation's plan."""
    breaker_resets: tuple[BreakerReset, ...] = ()
