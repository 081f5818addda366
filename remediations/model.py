"""The words of the decision core: immutable values, no I/O.

An alert is a hint. A policy owns the condition, the targets and everything that is asked of Prometheus or Kubernetes;
an alert contributes identity and state, nothing else. `decide` turns policy, facts and history into a Decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from remediations.circumstances import Approval, BreakerReset, Change, Pods, ProcessStart, Template
from remediations.sights import Sights
from remediations.step import Step

T = TypeVar("T")

ANNOTATION_OPERATION = "controlcore.io/operation-id"
"""On the object and, for a restart, in the pod template: names the remediation that wrote."""
ANNOTATION_HANDS_OFF = "controlcore.io/hands-off"
"""Set to `true` by a person on an object that must not be touched."""
FIELD_MANAGER = "controlcore-remediator"
MISSING = "missing"
"""`Fact.problem` (or its first word) of an object that was asked for and does not exist; anything else is unknown."""


class State(StrEnum):
    """Where a remediation stands. `TRANSITIONS` says what may follow."""

    RECEIVED = "received"
    CLAIMED = "claimed"
    HELD = "held"
    PLANNED = "planned"
    WRITING = "writing"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    NOT_NEEDED = "not_needed"
    EXPIRED = "expired"
    OBSERVED = "observed"
    """Closed: the policy only observes; the plan that would have been carried out is in the journal."""
    DRY_RUN = "dry_run"
    """Closed: the plan was sent with dryRun=All; the server's answer is in the journal, nothing was changed."""
    QUARANTINED = "quarantined"


CLOSED = frozenset(
    {
        State.SUCCEEDED,
        State.FAILED,
        State.UNVERIFIED,
        State.NOT_NEEDED,
        State.EXPIRED,
        State.OBSERVED,
        State.DRY_RUN,
        State.QUARANTINED,
    }
)
IN_FLIGHT = frozenset({State.PLANNED, State.WRITING, State.VERIFYING})
"""At most one remediation per target is in one of these."""
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.CLAIMED}),
    State.CLAIMED: frozenset(
        {State.HELD, State.PLANNED, State.NOT_NEEDED, State.EXPIRED, State.OBSERVED, State.DRY_RUN}
    ),
    State.HELD: frozenset({State.CLAIMED}),
    State.PLANNED: frozenset({State.WRITING, State.CLAIMED}),
    State.WRITING: frozenset({State.VERIFYING, State.CLAIMED, State.FAILED, State.UNVERIFIED}),
    State.VERIFYING: frozenset({State.SUCCEEDED, State.FAILED, State.UNVERIFIED}),
}
"""PLANNED and WRITING go back to CLAIMED when the object changed (409): facts are gathered and decided again. WRITING
closes as UNVERIFIED when nobody could find out in time whether the write arrived. OBSERVED and DRY_RUN follow CLAIMED
at once: they occupy no target, and doing them twice changes nothing."""


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


class HoldReason(StrEnum):
    """Why nothing is done now: a closed set, in guard order."""

    KILL_SWITCH = "kill_switch"
    FOREIGN_TARGET = "foreign_target"
    EXPIRED = "expired"
    COLD_START = "cold_start"
    FREEZE_WINDOW = "freeze_window"
    OUTSIDE_SCHEDULE = "outside_schedule"
    SILENCED = "silenced"
    SILENCE_UNKNOWN = "silence_unknown"
    HANDS_OFF = "hands_off"
    HUMAN_ACTIVE = "human_active"
    RECENT_CHANGE = "recent_change"
    CHANGES_UNKNOWN = "changes_unknown"
    NOT_ALLOWED = "not_allowed"
    CONDITION_UNKNOWN = "condition_unknown"
    DEPENDENCY_DOWN = "dependency_down"
    DEPENDENCY_UNKNOWN = "dependency_unknown"
    STORM = "storm"
    BREAKER_OPEN = "breaker_open"
    LADDER_EXHAUSTED = "ladder_exhausted"
    BUDGET_SPENT = "budget_spent"
    COOLDOWN = "cooldown"
    TARGET_BUSY = "target_busy"
    WITNESS_MISSING = "witness_missing"
    WITNESSES_DISAGREE = "witnesses_disagree"
    NO_ORCHESTRATOR = "no_orchestrator"
    TARGET_MISSING = "target_missing"
    TARGET_UNKNOWN = "target_unknown"
    OWNER_UNKNOWN = "owner_unknown"
    OWNED_BY_OTHER = "owned_by_other"
    AUTOSCALER_BLIND = "autoscaler_blind"
    AUTOSCALER_AT_CAP = "autoscaler_at_cap"
    ROLLOUT_RUNNING = "rollout_running"
    WORKLOAD_PAUSED = "workload_paused"
    PARTIALLY_READY = "partially_ready"
    NOTHING_READY = "nothing_ready"
    DISRUPTION_BUDGET = "disruption_budget"
    DROP_TABLES = "drop_tables"
    TEMPLATE_UNREADABLE = "template_unreadable"
    CONFIGURATION_CHANGED = "configuration_changed"
    CONFIGURATION_UNKNOWN = "configuration_unknown"
    IMAGE_UNPINNED = "image_unpinned"
    CONNECTION_BUDGET = "connection_budget"
    CONNECTIONS_UNKNOWN = "connections_unknown"
    LOCKED = "locked"
    LOCK_UNKNOWN = "lock_unknown"
    CUSTOM = "custom"
    CUSTOM_UNKNOWN = "custom_unknown"
    APPROVAL = "approval"
    OBJECT_CHANGED = "object_changed"
    WRITE_REFUSED = "write_refused"


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
class Workload:
    """A Deployment as the API server sees it (apps/v1)."""

    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    is_paused: bool
    replicas_desired: int
    replicas_updated: int
    replicas_ready: int
    replicas_available: int
    replicas_total: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    template_annotations: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    """kind/name of a controlling ownerReference, or empty."""
    strategy: str = "RollingUpdate"
    drop_tables: bool | None = None
    """Whether the template, envFrom resolved, sets CC_DROP_TABLES to a true value. None: could not be read."""
    drop_tables_problem: str = ""
    surge: int = 0
    """Pods that a rolling update may start beyond the desired number (spec.strategy.rollingUpdate.maxSurge)."""

    @property
    def is_rolled_out(self) -> bool:
        """Whether the controller has seen the newest template and every pod runs it and is available."""
        return (
            self.observed_generation >= self.generation
            and self.replicas_updated >= self.replicas_desired
            and self.replicas_total == self.replicas_updated
            and self.replicas_available >= self.replicas_desired
        )

    @property
    def is_rolling(self) -> bool:
        """Whether a rollout has begun and not yet replaced every pod (availability does not matter here)."""
        return (
            self.observed_generation < self.generation
            or self.replicas_updated < self.replicas_desired
            or self.replicas_total > self.replicas_updated
        )


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The HorizontalPodAutoscaler (autoscaling/v2) that owns a workload's replicas."""

    name: str
    uid: str
    resource_version: str
    minimum: int
    maximum: int
    current: int
    desired: int
    is_active: bool | None
    """Condition ScalingActive; None when the controller has not said."""
    is_limited: bool | None
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    """kind/name of a controlling ownerReference (a ScaledObject regenerates its HPA), or empty."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """PodDisruptionBudgets (policy/v1) that select the target's pods: name → disruptionsAllowed."""

    allowed: Mapping[str, int]


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


@dataclass(frozen=True, slots=True)
class PastAction:
    """A write that the journal remembers: when it began, on what, by which policy, and how it ended."""

    remediation: str
    policy: str
    target: Target
    action: str
    written_at: float
    state: State


@dataclass(frozen=True, slots=True)
class History:
    """What the journal knows that matters for a decision."""

    actions: tuple[PastAction, ...] = ()
    """Writes of the last 24 hours, newest first, over all targets."""
    in_flight: tuple[str, ...] = ()
    """Ids of other remediations in flight on the same target."""
    attempts: int = 0
    """Writes this very remediation has made."""
    arrivals: tuple[float, ...] = ()
    """When alerts that were not known before arrived (Unix seconds), newest first, as far back as a storm is held."""
    approval: Approval | None = None
    """The newest answer of a person to this remediation's plan."""
    breaker_resets: tuple[BreakerReset, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, completely, before anything is done."""

    action: str
    target: Target
    operation_id: str
    summary: str
    """One sentence for people."""
    steps: tuple[Step, ...]
    prior: Mapping[str, Any]
    """The state that the steps change, as it was: what undo would need."""
    expected: Mapping[str, Any] = field(default_factory=dict)
    """The state after the steps, for verification."""


@dataclass(frozen=True, slots=True)
class GuardOutcome:
    """One guard's answer, in the order asked: passed, or the reason that it held."""

    guard: str
    reason: HoldReason | None = None
    detail: str = ""
    until: float | None = None
    """Unix seconds before which asking again is pointless; None when nobody knows."""
    is_settled: bool = False
    """There is nothing left to do: the remediation closes as not needed. Only the condition guard says so."""


@dataclass(frozen=True, slots=True)
class Act:
    """The decision to act, with the plan and every guard that let it pass."""

    plan: Plan
    guards: tuple[GuardOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The decision not to act now, with the reason and the guards asked up to it."""

    reason: HoldReason
    detail: str
    until: float | None = None
    guards: tuple[GuardOutcome, ...] = ()
    proposal: Plan | None = None
    """The plan that waits for approval, when this is what holds."""


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The condition is gone: there is nothing to do."""

    detail: str
    guards: tuple[GuardOutcome, ...] = ()


Decision = Act | Hold | NotNeeded


class Outcome(StrEnum):
    """What verification says."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a verification, with the reason in words."""

    outcome: Outcome
    detail: str
