"""Policies: which alert may lead to which action on which object, and under which conditions.

`reader` reads them from YAML. A policy names every Prometheus query and every Kubernetes object; an alert's labels only
choose among the listed targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from remediations.core.action import Effect
from remediations.core.fields import (
    Age,
    Count,
    Found,
    Key,
    Listed,
    Name,
    Names,
    PolicySection,
    Range,
    ReadAs,
    Several,
    UpToADay,
    Url,
    WithinADay,
    find_shared_names,
    refuse,
)
from remediations.core.model.alert import Mode, Target
from remediations.core.policies.by_action import ActionName, ActionParameters, Targets, spec_of
from remediations.core.policies.limits import BreakerLimit, ConnectionBudget, Consents, CustomGuard, Limit, StormLimit
from remediations.core.policies.matchers import Identity, Matchers, matches_all
from remediations.core.policies.time_windows import Windows
from remediations.core.queries import Collectors, Promql

REMEDIATION_LABEL = "remediation"
"""An alert's label with the name of a policy, or `none`."""
NAMESPACE_LABEL = "namespace"
NAME_LABELS: Mapping[str, str] = {"Deployment": "deployment"}
"""Kind of target → the alert label that may name it."""
REVERT = ":revert"
UNNAMED = "*"
"""Placeholder for a name that an alert did not give: no Kubernetes object has it, so no allow-list contains it."""
MAX_NAME_LENGTH = 253
RESERVED = "none"
"""An alert rule's label `remediation: none` means that no policy applies."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Query(PolicySection):
    """A query to Prometheus, and how old its result may be."""

    promql: Promql
    """PromQL that gives at most one sample: 0 is false, any other number true, no sample or several unknown.
    `ALERTS` is refused: it shows the state of an alert, not of the product."""
    collectors: Collectors
    """The exporter's collectors behind the result, which is as old as the oldest of them. If one is missing here,
    old data of that collector is not noticed."""
    max_age_seconds: Age = 60.0
    """A result older than this is unknown. Below twice the collectors' interval everything is held; a value that is
    too large allows decisions on old data."""


class WitnessKind(StrEnum):
    """How a witness confirms a fault, independently of the exporter."""

    PODS_READY = "pods_ready"
    """Confirms the fault when no pod of the workload is Ready."""
    PODS_RUNNING = "pods_running"
    """Confirms when a pod is Ready: for faults of a running workload, which a restart may interrupt."""
    HTTP = "http"
    """Confirms the fault when a GET by the remediator itself gets no 2xx in time."""


KUBELET = frozenset({WitnessKind.PODS_READY, WitnessKind.PODS_RUNNING})
"""Kinds that read the state of the pods."""


@dataclass(frozen=True, slots=True)
class Witness(PolicySection):
    """One independent check that the fault is real; at least one must confirm before a restart."""

    name: Name
    """Its name in decisions and output."""
    kind: WitnessKind
    """`pods_ready` confirms the fault when no pod of the workload is Ready; `pods_running` when one is, for faults
    of a running workload (a wrong number, a growing cache); `http` when a GET by the remediator itself gets no 2xx
    in time. For a component that is down, `pods_running` would confirm the opposite."""
    url: Url = ""
    """The URL for `http`. The remediator's own network must reach it, otherwise the witness confirms faults that do
    not exist."""
    timeout_seconds: Annotated[float, Range(0.1, 30)] = 2.0
    """Deadline of the check. If it is too small, a slow component looks faulty."""

    def find_faults(self) -> Iterator[Found]:
        """Only a witness of kind http has a URL."""
        if self.kind is WitnessKind.HTTP and not self.url:
            yield ("url",), "is required"
        if self.kind is not WitnessKind.HTTP and self.url:
            yield ("url",), "only a witness of kind http has a url"


def kept_in(info: ValidationInfo) -> list[dict[str, Any]]:
    """The valid parts of the file that is being read: its own keys, then those of each policy."""
    return cast("list[dict[str, Any]]", info.context)


def _confirm(witnesses: tuple[Witness, ...], info: ValidationInfo) -> tuple[Witness, ...]:
    """Witnesses with different names, and at least one if the action stops pods; raises ValidationError."""
    refuse(find_shared_names(witnesses))
    spec = spec_of(info)
    if spec is not None and Effect.STOPS_PODS in spec.effects and not witnesses:
        raise ValueError(f"{spec.name} needs at least one witness independent of the exporter")
    return witnesses


def _distinct(guards: tuple[CustomGuard, ...]) -> tuple[CustomGuard, ...]:
    """Guards of different names; raises ValidationError."""
    refuse(find_shared_names(guards))
    return guards


def _not_reserved(name: str) -> str:
    """The name of a policy; raises ValueError."""
    if name == RESERVED:
        raise ValueError(f"{RESERVED!r} is the value of alerts without a policy")
    return name


def _known_version(value: Any) -> int:
    """The version of the file's form; raises ValueError."""
    if value != VERSION:
        raise ValueError(f"this program reads version {VERSION}")
    return VERSION


@dataclass(frozen=True, slots=True)
class Rung(PolicySection):
    """The next action after the rung before it has failed."""

    action: ActionName
    """The action of this rung."""
    parameters: ActionParameters = field(default_factory=dict)
    """That action's own settings."""
    targets: Targets = ()
    """The objects of this rung; without it, the policy's own."""


@dataclass(frozen=True, slots=True)
class Policy(PolicySection):
    """One row of the policy file, complete with defaults."""

    name: Annotated[Name, AfterValidator(_not_reserved), Field(json_schema_extra={"not": {"const": RESERVED}})]
    """The policy's name; an alert names it in its label `remediation`. It is also the value of a metric's label.
    `none` is reserved for alerts without a policy."""
    action: ActionName
    """The action; one of those below."""
    targets: Targets
    """The only objects that may be changed. With several, the alert's labels `namespace` and `deployment` choose
    among them; labels that match none or several hold (`not_allowed`)."""
    condition: Query
    """The query that must still be true at the decision, because the alert is only a hint. If it is true too easily,
    healthy components are changed. While it is false, remediations close as `not_needed`.
    """
    verify: Query
    """The query that proves the repair, on data collected after it. If it is already true before, every repair
    counts as a success; if it can never be true, every repair counts as a failure."""
    mode: Mode = Mode.DRY_RUN
    """How far the policy may go: `observe` decides and needs no right to write, `dry_run` sends its writes as dry
    runs, `approve` waits until a person approves exactly this plan (role `approve`, or the command line), `auto`
    acts. If the API server does not refuse what no policy allows, `auto` waits like `approve`."""
    match: Matchers = ()
    """Alertmanager matchers for alerts without a label `remediation`, in addition to those that name the policy. Two
    matchers that require different values of one label are refused: they never match."""
    parameters: ActionParameters = field(default_factory=dict)
    """The action's own settings, see below."""
    witnesses: Annotated[Listed[Witness], AfterValidator(_confirm), Field(validate_default=True)] = ()
    """Checks independent of the exporter; at least one must confirm the fault. Required for actions that stop pods: to
    an exporter without a connection everything looks down."""
    dependencies: Names = ()
    """Names of `dependencies` that must be up."""
    cooldown_seconds: UpToADay = 900.0
    """Minimum time between two writes of this policy to one target. If it is too small, a repair is repeated before
    the first one could work; if it is too large, the next fault is left to people. The next rung of a ladder does
    not wait."""
    budget_actions: Count = 2
    """Maximum number of writes by this policy within `budget_seconds`, whatever the answer to them."""
    budget_seconds: WithinADay = 3600.0
    """The time that `budget_actions` counts over. If it is too small, the budget limits nothing."""
    verify_timeout_seconds: WithinADay = 600.0
    """After this time without proof the outcome is `failed` or `unverified`. If it is shorter than a slow rollout,
    every repair counts as failed and the breaker opens."""
    expires_seconds: WithinADay = 900.0
    """A remediation that could not act within this time after its alert closes as `expired`. If it is too large, the
    remediator acts on faults that people have forgotten. Must be longer than `retry_seconds`."""
    retry_seconds: Annotated[float, Range(0.1, 3600)] = 15.0
    """Pause after a Hold until the facts are gathered again. If it is too small, the API server is kept busy; if it
    is too large, the remediator acts late."""
    ladder: Several[Rung] = ()
    """The next actions, in order, if the action above has failed; after the last one a person is needed."""
    schedule: Windows = ()
    """Times in which the policy may act; none means always."""
    freeze: Windows = ()
    """Times in which this policy does nothing; none by default."""
    guards: Annotated[Listed[CustomGuard], AfterValidator(_distinct)] = ()
    """Guards of your own that hold the policy; none by default."""
    accept: Consents = frozenset()
    """Holds that you have checked and that this policy may ignore. `unpinned_image`: a restart may start another
    image with the same tag. `changed_configuration`: it may roll out an unfinished change. `unread_configuration`:
    it is unknown whether it does. `replicas_owner`: without an autoscaler, the tool that delivers the Deployment may
    set the replicas back."""
    connections: Annotated[ConnectionBudget | None, ReadAs(ConnectionBudget)] = None
    """The database connections of each replica; for actions that start pods. Without it, new pods may take the last
    connections.
    """
    human_quiet_seconds: UpToADay = 1800.0
    """Minimum quiet time after someone else changes the target; 0 switches this off, and then repairs interfere with
    people at work."""
    change_quiet_seconds: UpToADay = 900.0
    """If the alert started within this time after the target changed, the change is assumed to be the cause and the
    remediation is held; 0 switches this off, and then a bad release is restarted instead of rolled back."""
    approval_seconds: WithinADay = 900.0
    """How long an approval is valid. If it is too large, the remediator acts on an old approval."""

    @field_validator("*")
    @classmethod
    def remember(cls, value: Any, info: ValidationInfo) -> Any:
        """The value, which is also stored for the checks of a file with faults."""
        kept_in(info)[-1][str(info.field_name)] = value
        return value

    def lists(self, target: Target) -> bool:
        """Whether the policy, or a rung of its ladder, may change this object."""
        return target in self.targets or any(target in rung.targets for rung in self.ladder)


def _begin(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """The next policy, whose fields are stored beside those of the others."""
    kept_in(info).append({})
    return handler(value)


@dataclass(frozen=True, slots=True)
class PolicySet(PolicySection):
    """Which alert may lead to which action on which object, and under which conditions."""

    policies: Several[Annotated[Policy, WrapValidator(_begin)]]
    """The policies; at least one."""
    identity: Identity = ()
    """Matchers that an alert's labels must satisfy before any policy acts on it, usually an external label of this
    installation's Prometheus. Mandatory if a policy is `approve` or `auto`: without it an object with the right name
    in the wrong cluster could be changed. A matcher that an alert without the label satisfies is refused."""
    dependencies: Mapping[Key, Query] = field(default_factory=dict)
    """Name and query, true while that component is up. Policies name their dependencies; while one is down or
    unknown they hold. If the query is true too easily, symptoms are repaired instead of the cause."""
    max_actions: Count = 5
    """Maximum number of writes by all policies together within `max_actions_seconds`. If it is too large, a bad day
    restarts everything in turn; if it is too small, the fifth fault of an hour is left to people."""
    max_actions_seconds: WithinADay = 3600.0
    """The time that `max_actions` counts over."""
    version: Annotated[int, PlainValidator(_known_version, json_schema_input_type=Literal[1])] = VERSION
    """Version of the file's form; 1 by default. A version that this program does not know is refused."""
    graph: Mapping[Annotated[str, BeforeValidator(str)], Names] = field(default_factory=dict)
    """Name of a dependency, and its own dependencies, which policies inherit. Without it, a policy waits only for
    the dependencies that it names."""
    freeze: Windows = ()
    """Times in which no policy does anything; none by default."""
    locks: Mapping[Key, Query] = field(default_factory=dict)
    """Name and query, true while no pod may be stopped or started (a recovery or a backup runs). Unknown holds too;
    none by default."""
    budgets: Listed[Limit] = ()
    """Further limits, each separately for one target, action or policy, or for all together; none by default."""
    storm: StormLimit = field(default_factory=StormLimit)
    """Limit of new alerts at which no single repair can help."""
    breaker: BreakerLimit = field(default_factory=BreakerLimit)
    """Limit of repairs of one kind on one object that do not help."""

    @field_validator("*")
    @classmethod
    def remember(cls, value: Any, info: ValidationInfo) -> Any:
        """The value, which is also stored for the checks of a file with faults."""
        kept_in(info)[0][str(info.field_name)] = value
        return value

    def named(self, name: str) -> Policy | None:
        """The policy with this name, or its policy for reverts; None if there is none."""
        known = {policy.name: policy for policy in self.policies}
        if name in known or not name.endswith(REVERT):
            return known.get(name)
        origin = known.get(name.removesuffix(REVERT))
        return None if origin is None else as_revert(origin)


def revert_name(name: str) -> str:
    """Name of the policy that decides reverts of a policy's scale-ups; no policy of a file can have it."""
    return f"{name}{REVERT}"


def is_revert(policy: Policy) -> bool:
    """Whether the policy is one for reverts."""
    return policy.name.endswith(REVERT)


def as_revert(policy: Policy) -> Policy:
    """The policy for reverts: mode, times, dependencies and own guards are kept, its ladder has no rungs.

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
    """The policy with the action, parameters and targets of a rung; 0 is its own, beyond the last it is the last."""
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

    Labels that name no listed target, or leave several, give a target outside the allow-list, which the guard
    `not_allowed` holds: check `target in policy.targets` before reading anything about it.
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
    """A label's value, safe to store and show: bounded, encodable, never empty."""
    value = labels.get(name, "")[:MAX_NAME_LENGTH]
    return value.encode("utf-8", "replace").decode("utf-8") or UNNAMED
