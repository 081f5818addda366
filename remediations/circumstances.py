"""What else is known when a decision is made: our own start, people at work, the template, approvals. Immutable values.

They stand beside `remediations.model`, which names them in its Facts and History.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """When this process began, and how long the journal had been silent before."""

    at: float
    """Unix seconds."""
    silent_seconds: float | None
    """Seconds from the journal's last entry to the start; None for a journal in which nothing ever stood."""
    pod: str = ""
    """namespace/name of the pod that this process runs in; empty outside Kubernetes."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that somebody else changed on the target."""

    who: str
    """The field manager (metadata.managedFields), or `ReplicaSet NAME`."""
    what: str
    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Source:
    """A ConfigMap or Secret that the pod template refers to, and when it last changed."""

    name: str
    """kind/name."""
    changed_at: float | None
    """Unix seconds; None when it could not be read, and then `problem` says why."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NewPods:
    """Whether the cluster would take new pods of the template, as far as our rights let us read it."""

    refusals: tuple[str, ...] = ()
    """Why it would take none, not even in the place of one that has gone."""
    crowded: tuple[str, ...] = ()
    """Why it would take none beside those that there are."""
    unread: tuple[str, ...] = ()
    """What could not be read or judged; it does not hold."""


@dataclass(frozen=True, slots=True)
class Template:
    """What the pod template would start now, beside CC_DROP_TABLES."""

    unpinned: tuple[str, ...] = ()
    """`container: image` of every image that is pulled anew at each start and named by a tag only."""
    sources: tuple[Source, ...] = ()
    new_pods: NewPods = field(default_factory=NewPods)


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of the workload."""

    oldest_started_at: float | None
    """Unix seconds (status.startTime); None while none has started."""
    terminating: int = 0
    """How many are on their way out: they still hold their connections."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to one plan."""

    remediation: str
    plan_hash: str
    """`remediations.digest.plan_hash` of the plan that was shown."""
    resource_version: str
    """metadata.resourceVersion of the object that the plan was made from; empty where there is none."""
    by: str
    at: float
    expires_at: float
    """Unix seconds."""
    is_approved: bool = True
    """False: rejected."""


@dataclass(frozen=True, slots=True)
class BreakerReset:
    """Somebody closed the breaker of an action on a target by hand."""

    action: str
    target: str
    """Target.key."""
    by: str
    at: float
