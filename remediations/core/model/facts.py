"""The inputs of a decision: alert, target, facts and history as immutable values, no I/O.

An alert is only a hint: it contributes identity and state. The policy defines the condition, the targets and all
queries to Prometheus and Kubernetes. `decide` turns policy, facts and history into a Decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from remediations.core.model.alert import Target
from remediations.core.model.cluster import (
    Autoscaler,
    Budgets,
    CronJob,
    ObjectChange,
    Pod,
    Pods,
    ScaledObject,
    Template,
    Workload,
)
from remediations.core.model.remediation import State
from remediations.core.model.undo import Revert


class Need(StrEnum):
    """The facts that an action needs before it plans."""

    PODS = "pods"
    CRON_JOB = "cron_job"
    IDLE_SESSIONS = "idle_sessions"
    SCALED_OBJECTS = "scaled_objects"
    TAKING_BACK = "taking_back"
    """The change to undo: read from the journal, only for actions that follow from another one."""


@dataclass(frozen=True, slots=True)
class IdleSessions:
    """Sessions of the control plane that have been idle in a transaction for longer than the given time."""

    count: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class ActionFacts:
    """The action facts; None was not needed."""

    pods: Fact[tuple[Pod, ...]] | None = None
    cron_job: Fact[CronJob] | None = None
    idle_sessions: Fact[IdleSessions] | None = None
    scaled_objects: Fact[tuple[ScaledObject, ...]] | None = None


def action_facts_to_data(sights: ActionFacts) -> dict[str, Any]:
    """The part that the journal stores."""
    data: dict[str, Any] = {}
    if sights.pods is not None:
        pods = sights.pods.value
        data["pods"] = sights.pods.problem if pods is None else [f"{pod.name} {_state(pod)}" for pod in pods]
    if sights.cron_job is not None:
        job = sights.cron_job.value
        data["cron_job"] = sights.cron_job.problem if job is None else {"uid": job.uid, "active": list(job.active)}
    if sights.idle_sessions is not None:
        idle = sights.idle_sessions.value
        data["idle_sessions"] = sights.idle_sessions.problem if idle is None else idle.count
    if sights.scaled_objects is not None:
        found = sights.scaled_objects.value
        data["scaled_objects"] = sights.scaled_objects.problem if found is None else [item.name for item in found]
    return data


def _state(pod: Pod) -> str:
    """A pod's state in one word."""
    if pod.is_ending:
        return "ending"
    return "ready" if pod.is_ready else f"unready, {pod.restarts} restarts"


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """When this process began, and how long the journal had been idle before."""

    at: float
    """Unix seconds."""
    silent_seconds: float | None
    """Seconds from the journal's last entry to the start; None for a new journal."""
    pod: str = ""
    """namespace/name of the pod that this process runs in; empty outside Kubernetes."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to one plan."""

    remediation: str
    plan_hash: str
    """`remediations.core.model.stored.plan_hash` of the plan that the person saw."""
    resource_version: str
    """metadata.resourceVersion of the object that the plan was made from; empty if there is none."""
    by: str
    at: float
    expires_at: float
    """Unix seconds."""
    is_approved: bool = True
    """False: rejected."""


@dataclass(frozen=True, slots=True)
class BreakerReset:
    """A person reset the breaker of an action on a target."""

    action: str
    target: str
    """Target.key."""
    by: str
    at: float


T = TypeVar("T")

NO_ORCHESTRATOR = "no orchestrator is configured: set `kubernetes` in the settings"
NO_DATABASE = "no database is configured: set `database.url` in the settings"
MISSING = "missing"
"""`Fact.problem` (or its first word) of an object that was requested and does not exist; anything else is unknown."""


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """The result of one query. `value` None means unknown, and then `problem` says why."""

    value: T | None
    source: str
    """Where it was read, for people: a PromQL query, an API path, a URL."""
    problem: str = ""
    collected_at: float | None = None
    """Unix seconds at which the value was true (not when it was scraped or read), if that is known."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: who set it, why, until when (Unix seconds; None until resumed), and what it stops."""

    name: str
    owner: str
    reason: str
    until: float | None
    policy: str = ""
    """The one policy that it stops, its reverts included; empty: every policy."""
    target: str = ""
    """`Target.key` of the one object that it protects; empty: every object."""
    since: float | None = None
    """Unix seconds; None if not recorded."""

    @property
    def scope(self) -> str:
        """Its scope, as text."""
        words = [f"policy {self.policy}"] * bool(self.policy) + [f"target {self.target}"] * bool(self.target)
        return " on ".join(words) or "everything"

    @property
    def is_of_everything(self) -> bool:
        """Whether it is limited to no policy and no target."""
        return not self.policy and not self.target

    def covers(self, policy: str, target: str) -> bool:
        """Whether it stops what a policy would do to the target of this key. A revert has its policy's name and `:`."""
        is_policy = self.policy in {"", policy, policy.partition(":")[0]}
        return is_policy and self.target in {"", target}


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was read before deciding. A Fact that was not needed has no value."""

    condition: Fact[bool]
    """True while the policy's condition holds; False if it is gone."""
    dependencies: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of the dependency → whether it is up."""
    witnesses: Mapping[str, Fact[bool]] = field(default_factory=dict)
    """Name of the witness → whether it confirms the fault."""
    workload: Fact[Workload] = field(default_factory=lambda: Fact(None, "", "not asked"))
    has_orchestrator: bool = False
    autoscalers: Fact[tuple[Autoscaler, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """All HPAs whose scaleTargetRef names the target; an empty tuple means that there are none."""
    budgets: Fact[Budgets] = field(default_factory=lambda: Fact(None, "", "not asked"))
    pauses: tuple[Pause, ...] = ()
    sights: ActionFacts = field(default_factory=ActionFacts)
    """What only the policy's action needs to know."""
    start: Fact[ProcessStart] = field(default_factory=lambda: Fact(None, "", "not asked"))
    mutes: Fact[tuple[str, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """What silences, inhibits or mutes the alert in Alertmanager; an empty tuple means nothing does."""
    changes: Fact[tuple[ObjectChange, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    """Changes of the target by others, newest first."""
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
    taking_back: Revert | None = None
    """The change that a revert undoes, according to the journal; None for other actions."""


@dataclass(frozen=True, slots=True)
class PastAction:
    """A write in the journal: when it began, on what, by which policy, and its outcome."""

    remediation: str
    policy: str
    target: Target
    action: str
    written_at: float
    state: State
    reason: str = ""
    """The reason of the outcome, from a closed set."""
    attempts: int = 0
    """How often it was sent, whether or not that arrived, as far as counted."""
    budgets: tuple[str, ...] = ()
    """Names of the PodDisruptionBudgets of the ready pods that it may stop."""


@dataclass(frozen=True, slots=True)
class History:
    """The journal's input to a decision."""

    actions: tuple[PastAction, ...] = ()
    """Writes of the last 24 hours, newest first, over all targets."""
    in_flight: tuple[str, ...] = ()
    """Ids of other remediations in flight on the same target."""
    attempts: int = 0
    """How often this remediation has sent a write, whether or not it arrived."""
    arrivals: tuple[float, ...] = ()
    """When new alerts arrived (Unix seconds), newest first, as far back as a storm holds."""
    approval: Approval | None = None
    """The newest answer of a person to this remediation's plan."""
    breaker_resets: tuple[BreakerReset, ...] = ()
