"""How an action registers: its parameters, its effect, its plan function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from remediations.core.fields import PolicySection
from remediations.core.model.alert import Target
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts, Need
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason, Settled
from remediations.core.queries import Promql

NEW_POD_READS = (
    "list core/resourcequotas",
    "list core/limitranges",
    "list core/serviceaccounts",
    "get core/namespaces",
)
"""Rights for reading it, besides PriorityClasses and RuntimeClasses, which a Role cannot grant."""


SPEC_ATTRIBUTE = "action_spec"


class Effect(StrEnum):
    """What an action does to the cluster; each effect enables the guards that concern it."""

    PATCHES_WORKLOAD = "patches_workload"
    """Needs the target as a Deployment that exists and can be read."""
    STOPS_PODS = "stops_pods"
    """Stops running pods: needs a second witness, and a workload that can lose them."""
    STARTS_PODS = "starts_pods"
    """Starts new pods from the template: held while new pods would destroy data."""
    EVICTS_POD = "evicts_pod"
    """Evicts one unready pod; the API server checks the disruption budgets."""
    REMOVES_PODS = "removes_pods"
    """Removes pods that the load does not need: held while the load needs them or the workload is not settled."""
    SETS_REPLICAS = "sets_replicas"
    """Changes the number of pods, which belongs to the object that owns that number."""


@dataclass(frozen=True, slots=True)
class ActionInput:
    """Everything that a plan function gets."""

    target: Target
    parameters: Mapping[str, Any]
    """As validated by `read_parameters`, defaults filled in."""
    facts: Facts
    operation_id: str


PlanFunction = Callable[[ActionInput], Plan | GuardOutcome]


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """A registered action: a value, so that nothing happens at import."""

    name: str
    plan: PlanFunction
    kinds: tuple[str, ...]
    """Kinds of target it can act on."""
    effects: frozenset[Effect]
    refusals: frozenset[HoldReason]
    """The reasons that it may give for having no plan."""
    rbac: tuple[str, ...] = ()
    """Kubernetes rights as `verb group/resource`, for the chart; writes are granted by resource name."""
    parameters: type[PolicySection] = PolicySection
    doc: str = field(default="", repr=False)
    needs: frozenset[Need] = frozenset()
    """What is read for this action in addition to the facts of every decision."""

    def read_parameters(self, value: Any) -> dict[str, Any]:
        """The action's parameters from a policy, defaults filled in; raises ValidationError with every fault."""
        kind: Any = self.parameters
        section = _reader_of(kind).validate_python(value)
        return {item.name: getattr(section, item.name) for item in fields(self.parameters)}

    @property
    def is_follow_up(self) -> bool:
        """Whether it only follows from another action; no policy may name it."""
        return Need.TAKING_BACK in self.needs

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters that a policy may leave out."""
        return {item.name: item.default for item in fields(self.parameters) if item.default is not MISSING}

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parameters that have no default."""
        return tuple(item.name for item in fields(self.parameters) if item.default is MISSING)

    @property
    def questions(self) -> tuple[str, ...]:
        """Names of the parameters that are PromQL queries."""
        hints = get_type_hints(self.parameters, include_extras=True)
        return tuple(name for name, hint in hints.items() if hint == Promql)


@cache
def _reader_of(parameters: type[PolicySection]) -> TypeAdapter[PolicySection]:
    """Reads the parameters of an action; several policies of a file may name the same action."""
    return TypeAdapter(parameters)


def action(
    *,
    kinds: tuple[str, ...],
    effects: frozenset[Effect],
    refusals: frozenset[HoldReason],
    rbac: tuple[str, ...],
    parameters: type[PolicySection] = PolicySection,
    needs: frozenset[Need] = frozenset(),
) -> Callable[[PlanFunction], PlanFunction]:
    """Registers the decorated function as the plan of the action named like its file."""

    def register(plan: PlanFunction) -> PlanFunction:
        name = plan.__module__.rsplit(".", 1)[-1]
        doc = (plan.__doc__ or "").strip()
        spec = ActionSpec(name, plan, kinds, effects, refusals, rbac, parameters, doc, needs)
        setattr(plan, SPEC_ATTRIBUTE, spec)
        return plan

    return register


def settles(detail: str, settled: Settled = Settled.CONDITION_GONE) -> GuardOutcome:
    """The answer of an action with nothing left to do: the remediation closes as not needed."""
    return GuardOutcome("plan", detail=detail, is_settled=True, settled=settled)


def refuses(reason: HoldReason, detail: str) -> GuardOutcome:
    """The answer of an action that has no plan for these facts."""
    return GuardOutcome("plan", reason, detail)
