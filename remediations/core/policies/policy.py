"""Policies: which alert may lead to which action on which object, and everything that must be true first.

The reader beside this file reads them from YAML. A policy names every query of Prometheus and every object of
Kubernetes; an alert's labels only choose among the targets that the policy lists.
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
"""An alert's label with the name of the policy that it asks for; `none` asks for none."""
NAMESPACE_LABEL = "namespace"
NAME_LABELS: Mapping[str, str] = {"Deployment": "deployment"}
"""Kind of target → the alert label that may name it."""
REVERT = ":revert"
UNNAMED = "*"
"""Stands for a name that an alert did not give: no Kubernetes object has it, so no allow-list contains it."""
MAX_NAME_LENGTH = 253
RESERVED = "none"
"""An alert rule's label `remediation: none` says that no policy is wanted."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Query(PolicySection):
    """A question to Prometheus, and what makes its answer fresh."""

    promql: Promql
    """PromQL that gives at most one sample: 0 is false, any other number true, no sample or several unknown. `ALERTS`
    is refused: it says what Prometheus thought, not what is."""
    collectors: Collectors
    """The exporter's collectors behind the answer; it is as old as the oldest of them. One that is missing here can
    stand still without being noticed."""
    max_age_seconds: Age = 60.0
    """An answer older than this is unknown. Below twice the collectors' interval everything is held; too large acts on
    what was."""


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
class Witness(PolicySection):
    """One independent opinion on whether the fault is real; at least one must confirm a restart."""

    name: Name
    """Its name in decisions and stories."""
    kind: WitnessKind
    """`pods_ready` confirms the fault when no pod of the workload is Ready; `pods_running` when one is, for faults of
    something that runs (a number that does not fit, a cache that grows); `http` when a GET by the remediator itself
    gets no 2xx in time. `pods_running` for a part that is down would confirm the opposite."""
    url: Url = ""
    """What `http` asks. The remediator's own network must reach it, else it confirms faults that are none."""
    timeout_seconds: Annotated[float, Range(0.1, 30)] = 2.0
    """How long it may take. Too small confirms faults of a slow part."""

    def find_faults(self) -> Iterator[Found]:
        """Only what asks over HTTP has a URL."""
        if self.kind is WitnessKind.HTTP and not self.url:
            yield ("url",), "is required"
        if self.kind is not WitnessKind.HTTP and self.url:
            yield ("url",), "only a witness of kind http has a url"


def kept_in(info: ValidationInfo) -> list[dict[str, Any]]:
    """What is good so far of the file that is being read: its own keys, then those of each policy."""
    return cast("list[dict[str, Any]]", info.context)


def _confirm(witnesses: tuple[Witness, ...], info: ValidationInfo) -> tuple[Witness, ...]:
    """Witnesses of different names, and at least one where the action stops pods; raises ValidationError."""
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
    """A name that means a policy; raises ValueError."""
    if name == RESERVED:
        raise ValueError(f"{RESERVED!r} is what alerts say that want no policy")
    return name


def _known_version(value: Any) -> int:
    """The version of the file's form; raises ValueError."""
    if value != VERSION:
        raise ValueError(f"this program reads version {VERSION}")
    return VERSION


@dataclass(frozen=True, slots=True)
class Rung(PolicySection):
    """What is tried after the rung before it has been proven to have failed."""

    action: ActionName
    """What is done on this rung."""
    parameters: ActionParameters = field(default_factory=dict)
    """That action's own settings."""
    targets: Targets = ()
    """The objects of this rung; left out, the policy's own."""


@dataclass(frozen=True, slots=True)
class Policy(PolicySection):
    """One row of the policy file, complete with defaults."""

    name: Annotated[Name, AfterValidator(_not_reserved), Field(json_schema_extra={"not": {"const": RESERVED}})]
    """The policy's name; an alert asks for it by its label `remediation`. It is also a metric's label. `none` is
    reserved for alerts that want no policy."""
    action: ActionName
    """What is done; one of the actions below."""
    targets: Targets
    """The only objects that may be touched. With several, the alert's labels `namespace` and `deployment` choose among
    them; labels that choose none or several hold (`not_allowed`)."""
    condition: Query
    """The question that must still be true when it is decided: the alert is only a hint. A condition that is true too
    easily acts on healthy parts; the remediation closes as `not_needed` when it is false."""
    verify: Query
    """The question that proves the repair, asked of data collected after it. One that is true at once calls every
    repair a success; one that can never be true calls every repair a failure."""
    mode: Mode = Mode.DRY_RUN
    """How far the policy may go: `observe` decides and needs no right to write, `dry_run` sends its writes as dry runs,
    `approve` waits for a person's yes to the very plan (role `approve`, or the command line), `auto` acts. Where the
    API server does not refuse what no policy allows, `auto` waits like `approve`."""
    match: Matchers = ()
    """Alertmanager matchers by which alerts are found beside those that name the policy; for alerts that carry no
    `remediation` label. Two matchers that want different values of one label are refused: they never match."""
    parameters: ActionParameters = field(default_factory=dict)
    """The action's own settings, see below."""
    witnesses: Annotated[Listed[Witness], AfterValidator(_confirm), Field(validate_default=True)] = ()
    """Opinions independent of the exporter; at least one must confirm the fault. Required for actions that stop pods:
    an exporter that is cut off sees everything down."""
    dependencies: Names = ()
    """Names of `dependencies` that must be up."""
    cooldown_seconds: UpToADay = 900.0
    """Least time between two writes of this policy to one target. Too small repeats a repair before the first could
    work; too large leaves the next fault to people. The next rung of a ladder does not wait."""
    budget_actions: Count = 2
    """Maximum number of writes by this policy within `budget_seconds`, whatever their answer."""
    budget_seconds: WithinADay = 3600.0
    """The time that `budget_actions` counts over. If it is too small, the budget limits nothing."""
    verify_timeout_seconds: WithinADay = 600.0
    """After this time without proof the outcome is `failed` or `unverified`. Below the time of a slow rollout every
    repair counts as failed and the breaker opens."""
    expires_seconds: WithinADay = 900.0
    """A remediation that could not act within this time after its alert closes as `expired`. Too large acts on what
    nobody remembers. Must be longer than `retry_seconds`."""
    retry_seconds: Annotated[float, Range(0.1, 3600)] = 15.0
    """Pause after a Hold until the facts are gathered again. Too small keeps the API server busy; too large acts
    late."""
    ladder: Several[Rung] = ()
    """What follows, in order, when the action above is proven to have failed; after the last a person is needed."""
    schedule: Windows = ()
    """Times in which the policy may act; none means always."""
    freeze: Windows = ()
    """Times in which this policy does nothing; none by default."""
    guards: Annotated[Listed[CustomGuard], AfterValidator(_distinct)] = ()
    """Questions of your own that hold the policy; none by default."""
    accept: Consents = frozenset()
    """Holds that you have checked and that this policy may ignore. `unpinned_image`: a restart may install whatever the
    tag means by then. `changed_configuration`: it may put a half-made change into force. `unread_configuration`: nobody
    can tell whether it does. `replicas_owner`: without an autoscaler, whoever delivers the Deployment may set the
    replicas back."""
    connections: Annotated[ConnectionBudget | None, ReadAs(ConnectionBudget)] = None
    """What each replica costs the database; for actions that start pods. Left out, nothing keeps new pods from taking
    the last connections."""
    human_quiet_seconds: UpToADay = 1800.0
    """Minimum quiet time after someone else changes the target; 0 switches this off, and then repairs interfere with
    people at work."""
    change_quiet_seconds: UpToADay = 900.0
    """If the alert started within this time after the target changed, the change is assumed to be the cause and the
    remediation is held; 0 switches this off, and then a bad release is restarted instead of taken back."""
    approval_seconds: WithinADay = 900.0
    """How long a person's yes is good for. Too large acts on a decision of yesterday."""

    @field_validator("*")
    @classmethod
    def remember(cls, value: Any, info: ValidationInfo) -> Any:
        """The value, which is kept for the second look at a file with faults."""
        kept_in(info)[-1][str(info.field_name)] = value
        return value

    def lists(self, target: Target) -> bool:
        """Whether the policy, or a rung of its ladder, may touch this object."""
        return target in self.targets or any(target in rung.targets for rung in self.ladder)


def _begin(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """The next policy, whose fields are kept beside those of the others."""
    kept_in(info).append({})
    return handler(value)


@dataclass(frozen=True, slots=True)
class PolicySet(PolicySection):
    """Which alert may lead to which action on which object, and what must be true first."""

    policies: Several[Annotated[Policy, WrapValidator(_begin)]]
    """The policies; at least one."""
    identity: Identity = ()
    """Matchers that an alert's labels must satisfy before any policy acts on it, usually an external label of this
    installation's Prometheus. Mandatory as soon as a policy is `approve` or `auto`: without it the right name in the
    wrong cluster would be acted on. A matcher that an alert without the label satisfies is refused."""
    dependencies: Mapping[Key, Query] = field(default_factory=dict)
    """Name and question, true while that part is up. Policies name what they stand on; while it is down or unknown they
    hold. A question that is true too easily lets symptoms be repaired instead of the cause."""
    max_actions: Count = 5
    """Maximum number of writes by all policies together within `max_actions_seconds`. Too large lets one bad day
    restart everything in turn; too small leaves the fifth fault of an hour to people."""
    max_actions_seconds: WithinADay = 3600.0
    """The time that `max_actions` counts over."""
    version: Annotated[int, PlainValidator(_known_version, json_schema_input_type=Literal[1])] = VERSION
    """Version of the file's form. Left out it is 1; a version that this program does not read is refused."""
    graph: Mapping[Annotated[str, BeforeValidator(str)], Names] = field(default_factory=dict)
    """Name of a dependency, and the dependencies that it has itself; policies inherit them. Left out, a policy waits
    only for what it names."""
    freeze: Windows = ()
    """Times in which nothing is done by any policy; none by default."""
    locks: Mapping[Key, Query] = field(default_factory=dict)
    """Name and question, true while no pod may be stopped or started (a recovery or a backup runs). Unknown holds too;
    none by default."""
    budgets: Listed[Limit] = ()
    """Further limits, each for one target, action or policy by itself, or for all together; none by default."""
    storm: StormLimit = field(default_factory=StormLimit)
    """When so many alerts arrive that no single repair can be the answer."""
    breaker: BreakerLimit = field(default_factory=BreakerLimit)
    """When repairs of one kind on one object have stopped helping."""

    @field_validator("*")
    @classmethod
    def remember(cls, value: Any, info: ValidationInfo) -> Any:
        """The value, which is kept for the second look at a file with faults."""
        kept_in(info)[0][str(info.field_name)] = value
        return value

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
