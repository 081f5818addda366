"""A workload, the autoscaler that owns its replicas, and its budgets, as the API server shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NewPods:
    """Whether the cluster would accept new pods of the template, as far as our rights let us know."""

    refusals: tuple[str, ...] = ()
    """Why it would accept no pods, not even replacements."""
    crowded: tuple[str, ...] = ()
    """Why it would accept no additional pods."""
    unread: tuple[str, ...] = ()
    """What could not be read or evaluated; it does not hold."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment as the API server shows it (apps/v1)."""

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
    replicas_managers: tuple[str, ...] = ()
    """Field managers that set spec.replicas with the whole object (metadata.managedFields); writes through /scale
    are left out."""
    replicas_scalers: tuple[str, ...] = ()
    """Field managers that set spec.replicas through /scale and still own it: an autoscaler, a person, or this
    program."""
    delivered_by: str = ""
    """Helm, Argo CD or Flux, if a label or annotation says that it delivers the object; else empty."""
    unavailable: int | None = None
    """Pods that a rolling update may stop before their replacements are ready; None if unknown."""

    @property
    def stops(self) -> int | None:
        """How many ready pods a rollout may stop at once; None if unknown. Recreate stops every pod first."""
        return self.unavailable if self.strategy == "RollingUpdate" else self.replicas_desired

    @property
    def is_rolled_out(self) -> bool:
        """Whether the controller has processed the newest template, and every pod runs it and is available."""
        return (
            self.observed_generation >= self.generation
            and self.replicas_updated >= self.replicas_desired
            and self.replicas_total == self.replicas_updated
            and self.replicas_available >= self.replicas_desired
        )

    @property
    def is_rolling(self) -> bool:
        """Whether a rollout has begun and has not replaced every pod yet (availability does not matter here)."""
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
    is_out_paused: bool = False
    """No more pods are wanted (spec.behavior.scaleUp.selectPolicy is Disabled)."""
    is_in_paused: bool = False
    """No fewer pods are wanted (spec.behavior.scaleDown.selectPolicy is Disabled)."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """PodDisruptionBudgets (policy/v1) that select the target's pods: name → disruptionsAllowed."""

    allowed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """A change of the target by another user or program."""

    who: str
    """The field manager (metadata.managedFields), or `ReplicaSet NAME`."""
    what: str
    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A ConfigMap or Secret that the pod template refers to, and when it last changed."""

    name: str
    """kind/name."""
    changed_at: float | None
    """Unix seconds; None when it could not be read, and then `problem` says why."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """The pods that the template would start now, apart from CC_DROP_TABLES."""

    unpinned: tuple[str, ...] = ()
    """`container: image` of every image that is named by a tag and pulled at each start."""
    sources: tuple[TemplateSource, ...] = ()
    new_pods: NewPods = field(default_factory=NewPods)


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of the workload."""

    oldest_started_at: float | None
    """Unix seconds (status.startTime); None if none has started."""
    terminating: int = 0
    """Number of terminating pods: they still hold their connections."""


KEDA = "keda.sh/v1alpha1"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of the target (core/v1)."""

    name: str
    uid: str
    is_ready: bool
    """Condition Ready is True."""
    unready_seconds: float | None = None
    """For how long Ready has been False; None while it is ready or if that is unknown."""
    is_ending: bool = False
    """Has a deletionTimestamp, or has run to its end."""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class CronJob:
    """A CronJob (batch/v1) that a backup can be started from."""

    uid: str
    generation: int
    """Changes with the specification, and so with the job template, which is not read because it may contain a
    password."""
    active: tuple[str, ...] = ()
    """Names of its running jobs."""
    is_suspended: bool = False


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """A KEDA ScaledObject (keda.sh/v1alpha1) whose scaleTargetRef names the target."""

    name: str
    uid: str
    resource_version: str
    minimum: int | None
    maximum: int | None
    is_paused: bool
    """Neither more nor fewer pods are wanted (`paused`, `paused-replicas`)."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    is_ready: bool | None = None
    """Condition Ready, by which KEDA says that it follows the object; None when it has not said."""
    is_out_paused: bool = False
    """No more pods are wanted (`paused-scale-out`)."""
    is_in_paused: bool = False
    """No fewer pods are wanted (`paused-scale-in`)."""
