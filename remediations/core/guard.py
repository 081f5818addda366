"""How a guard registers, and what it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chassis.errors import InvariantBroken
from remediations.core.action import ActionInput, ActionSpec, Effect
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Facts, History
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import Policy, PolicySet

SPEC_ATTRIBUTE = "guard_spec"


PASSED = GuardOutcome("")


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Everything that a guard may read."""

    remediation: Remediation
    policy: Policy
    policy_set: PolicySet
    action: ActionSpec
    facts: Facts
    history: History
    now: float
    """Unix seconds."""

    def has(self, effect: Effect) -> bool:
        """Whether the policy's action has this effect."""
        return effect in self.action.effects

    def plan(self) -> Plan | GuardOutcome:
        """The plan if every guard passes, or the action's reason for having none."""
        parameters = self.action.defaults | dict(self.policy.parameters)
        operation_id = self.remediation.operation_id or self.remediation.id
        return self.action.plan(ActionInput(self.remediation.target, parameters, self.facts, operation_id))


GuardFunction = Callable[[GuardInput], GuardOutcome]


@dataclass(frozen=True, slots=True)
class GuardSpec:
    """A registered guard: a value, so that nothing happens at import."""

    name: str
    order: int
    reasons: frozenset[HoldReason]
    function: GuardFunction
    doc: str = ""

    def evaluate(self, request: GuardInput) -> GuardOutcome:
        """The guard's answer under its name; raises InvariantBroken for an undeclared reason."""
        outcome = replace(self.function(request), guard=self.name)
        if outcome.reason is not None and outcome.reason not in self.reasons:
            raise InvariantBroken(f"guard {self.name} answered {outcome.reason}, which it has not declared")
        return outcome


def guard(*, order: int, reasons: frozenset[HoldReason]) -> Callable[[GuardFunction], GuardFunction]:
    """Registers the decorated function as the guard of that name."""

    def register(function: GuardFunction) -> GuardFunction:
        name = function.__name__
        setattr(function, SPEC_ATTRIBUTE, GuardSpec(name, order, reasons, function, (function.__doc__ or "").strip()))
        return function

    return register


def holds(reason: HoldReason, detail: str, until: float | None = None) -> GuardOutcome:
    """The answer of a guard that holds the action."""
    return GuardOutcome("", reason, detail, until)
