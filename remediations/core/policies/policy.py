"""Policies: which alert may lead to which action on which object, and everything that must be true first.

The reader beside this file reads them from YAML. A policy names every query of Prometheus and every object of
Kubernetes; an alert's labels only choose among the targets that the policy lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from remediations.core.model.alert import Mode, Target
from remediations.core.policies.limits import BreakerLimit, ConnectionBudget, Consent, CustomGuard, Limit, StormLimit
from remediations.core.policies.matchers import Matcher, matches_all
from remediations.core.policies.time_windows import Window

REMEDIATION_LABEL = "remediation"
"""An alert's label with the name of the policy that it asks for; `none` asks for none."""
NAMESPACE_LABEL = "namespace"
NAME_LABELS: Mapping[str, str] = {"Deployment": "deployment"}
"""Kind of target → the alert label that may name it."""
REVERT = ":revert"
UNNAMED = "*"
"""Stands for a name that an alert did not give: no Kubernetes object has it, so no allow-list contains it."""
MAX_NAME_LENGTH = 253


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
    PODS_RUNNING = "pods_running"
    """Confirms when a pod is Ready: for faults of something that runs, and that a restart may therefore take away."""
    HTTP = "http"
    """Confirms the fault when a GET by the remediator itself gets no 2xx in time."""


KUBELET = frozenset({WitnessKind.PODS_READY, WitnessKind.PODS_RUNNING})
"""Kinds that ask how the pods are."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One independent opinion on whether the fault is real; at least one must confirm a restart."""

    name: str
    kind: WitnessKind
    url: str = ""
    timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Rung:
    """What is tried after the rung before it has been proven to have failed."""

    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    """Empty: the policy's own."""


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
    ladder: tuple[Rung, ...] = ()
    """What follows, in order, when the action above has failed; see `at_rung`."""
    schedule: tuple[Window, ...] = ()
    """When there are any, acting is allowed inside them only."""
    freeze: tuple[Window, ...] = ()
    """Nothing is done inside them."""
    guards: tuple[CustomGuard, ...] = ()
    accept: frozenset[Consent] = frozenset()
    """Locks that do not hold this policy."""
    connections: ConnectionBudget | None = None
    """What each replica costs the database; for actions that start pods."""
    human_quiet_seconds: float = 1800.0
    """Minimum quiet time after someone else changes the target; 0 switches this off."""
    change_quiet_seconds: float = 900.0
    """An alert that began within so many seconds after a change of the target is that change's; 0 switches this off."""
    approval_seconds: float = 900.0
    """How long an approval is good for."""

    def lists(self, target: Target) -> bool:
        """Whether the policy, or a rung of its ladder, may touch this object."""
        return target in self.targets or any(target in rung.targets for rung in self.ladder)


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
    version: int = 1
    """Version of the file's form."""
    graph: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a dependency → the dependencies that it has itself; policies inherit them."""
    freeze: tuple[Window, ...] = ()
    locks: Mapping[str, Query] = field(default_factory=dict)
    """Name → a query that is true while no pod may be stopped or started (a recovery or a backup runs)."""
    budgets: tuple[Limit, ...] = ()
    storm: StormLimit = field(default_factory=StormLimit)
    breaker: BreakerLimit = field(default_factory=BreakerLimit)

    def named(self, name: str) -> Policy | None:
        """The policy with this name, or the one that follows from it for reverts; None when there is none."""
        known = {policy.name: policy for policy in self.policies}
        if name in known or not name.endswith(REVERT):
            return known.get(name)
        origin = known.get(name.removesuffix(REVERT))
        return None if origin is None else as_revert(origin)


def revert_name(name: str) -> str:
    """Name of the policy by which reverts of a policy's scale-ups are decided; no policy of a file can have it."""
    return f"{name}{REVERT}"


def is_revert(policy: Policy) -> bool:
    """Whether the policy follows from another one, for reverts."""
    return policy.name.endswith(REVERT)


def as_revert(policy: Policy) -> Policy:
    """The policy for reverts: mode, times, dependencies and guards of its own are kept, its ladder has no rungs.

    Its condition for deciding comes from the scale-up (`remediations.engine.reverts`). The condition here serves
    verification: if the fault is back, the revert was wrong.
    """
    targets = dict.fromkeys((*policy.targets, *(target for rung in policy.ladder for target in rung.targets)))
    return replace(
        policy,
        name=revert_name(policy.name),
        action="revert_scale",
        targets=tuple(targets),
        parameters={},
        match=(),
        witnesses=(),
        ladder=(),
        change_quiet_seconds=0.0,
    )


def at_rung(policy: Policy, number: int) -> Policy:
    """The policy with the action, parameters and targets of a rung: 0 is its own, beyond the last stands the last."""
    if number <= 0 or not policy.ladder:
        return policy
    rung = policy.ladder[min(number, len(policy.ladder)) - 1]
    return replace(policy, action=rung.action, parameters=rung.parameters, targets=rung.targets or policy.targets)


def matches(policy: Policy, labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels belongs to the policy: by its `remediation` label, or by the matchers."""
    if labels.get(REMEDIATION_LABEL) == policy.name:
        return True
    return bool(policy.match) and matches_all(policy.match, labels)


def choose_target(policy: Policy, labels: Mapping[str, str]) -> Target:
    """The target that an alert's labels choose among the policy's.

    Labels that name no listed target, or leave several, give a target outside the allow-list, which the guard of that
    name refuses: check `target in policy.targets` before asking anything about it.
    """
    fitting = [target for target in policy.targets if _fits(target, labels)]
    if len(fitting) == 1:
        return fitting[0]
    kind = policy.targets[0].kind if policy.targets else UNNAMED
    return Target(_label(labels, NAMESPACE_LABEL), kind, _label(labels, NAME_LABELS.get(kind, "")))


def _fits(target: Target, labels: Mapping[str, str]) -> bool:
    """Whether no label contradicts this target; an absent or empty label contradicts nothing."""
    namespace = labels.get(NAMESPACE_LABEL) or target.namespace
    name = labels.get(NAME_LABELS.get(target.kind, "")) or target.name
    return namespace == target.namespace and name == target.name


def _label(labels: Mapping[str, str], name: str) -> str:
    """A label's value as it may be stored and shown: bounded, encodable, never empty."""
    value = labels.get(name, "")[:MAX_NAME_LENGTH]
    return value.encode("utf-8", "replace").decode("utf-8") or UNNAMED
