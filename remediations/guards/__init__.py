"""How a guard registers itself, and how it is found: one file here, no second edit.

A module `remediations/guards/NAME.py` defines one function decorated with `@guard(order=..., reasons={...})`. It is
pure and answers from what it is given; a fact that it needs and does not have is a Hold. Guards are asked in the order
of their numbers, and the first that does not pass decides. The numbers leave room: answers that are cheap, certain and
final (switched off, too old, not ours, not allowed) come before those that need facts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from chassis.errors import InvariantBroken
from remediations.actions import ActionInput, ActionSpec, Effect
from remediations.decision import GuardOutcome, Plan
from remediations.journal.port import Remediation
from remediations.model import Facts, History
from remediations.policy_model import Policy, PolicySet
from remediations.reasons import HoldReason

SPEC_ATTRIBUTE = "guard_spec"
PASSED = GuardOutcome("")


@dataclass(frozen=True, slots=True)
class GuardInput:
    """Everything a guard may look at."""

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
        """What would be done if every guard let it pass, or the action's reason for having no plan."""
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

    def ask(self, request: GuardInput) -> GuardOutcome:
        """The guard's answer under its name; raises InvariantBroken for a reason that it has not declared."""
        outcome = replace(self.function(request), guard=self.name)
        if outcome.reason is not None and outcome.reason not in self.reasons:
            raise InvariantBroken(f"guard {self.name} answered {outcome.reason}, which it has not declared")
        return outcome


def guard(*, order: int, reasons: frozenset[HoldReason]) -> Callable[[GuardFunction], GuardFunction]:
    """Registers the decorated function as the guard named like its file."""

    def register(function: GuardFunction) -> GuardFunction:
        name = function.__module__.rsplit(".", 1)[-1]
        setattr(function, SPEC_ATTRIBUTE, GuardSpec(name, order, reasons, function, (function.__doc__ or "").strip()))
        return function

    return register


def holds(reason: HoldReason, detail: str, until: float | None = None) -> GuardOutcome:
    """The answer of a guard that does not let the action pass."""
    return GuardOutcome("", reason, detail, until)


@cache
def discover(package: str = __name__) -> tuple[GuardSpec, ...]:
    """The guards of every module in the package, in order.

    Raises InvariantBroken for a module without exactly one guard, and for two guards with the same place in the order.
    """
    root = importlib.import_module(package)
    specs: dict[int, GuardSpec] = {}
    for entry in pkgutil.iter_modules(root.__path__):
        module = importlib.import_module(f"{package}.{entry.name}")
        found = [getattr(value, SPEC_ATTRIBUTE, None) for value in vars(module).values()]
        own = [spec for spec in found if isinstance(spec, GuardSpec) and spec.name == entry.name]
        if len(own) != 1:
            raise InvariantBroken(f"{module.__name__} must define exactly one function decorated with @guard")
        if specs.setdefault(own[0].order, own[0]) is not own[0]:
            raise InvariantBroken(f"{entry.name} and {specs[own[0].order].name} have the same place in the order")
    return tuple(specs[order] for order in sorted(specs))
