"""Guards on evidence: the condition, dependencies, witnesses and the policy's own guards."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import HoldIf


@guard(order=160, reasons=frozenset())
def condition_gone(request: GuardInput) -> GuardOutcome:
    """Closes the remediation while its condition is known to be false.

    It runs right after `expiry`: a healthy target needs no action, even if a later guard would hold it.
    """
    condition = request.facts.condition
    if condition.value is False and not request.has(Effect.REMOVES_PODS):
        return GuardOutcome("", detail=f"the condition is gone: {condition.source}", is_settled=True)
    return PASSED


@guard(
    order=400, reasons=frozenset({HoldReason.CONDITION_UNKNOWN, HoldReason.DEPENDENCY_DOWN, HoldReason.LOAD_TOO_HIGH})
)
def condition(request: GuardInput) -> GuardOutcome:
    """Holds if it is unknown whether the condition is still true; a false condition was closed before.

    For an action that removes pods the condition is that the load is low enough for fewer. False is a Hold then,
    because the load may fall later.

    If the condition is unknown and a dependency is down, the reason is the dependency: while it is down, the probes
    behind the condition are suspended or stuck, and a person needs the root cause.
    """
    condition = request.facts.condition
    if condition.value is False and request.has(Effect.REMOVES_PODS):
        return holds(HoldReason.LOAD_TOO_HIGH, f"the load is too high for fewer replicas: {condition.source} is false")
    if condition.value is not None:
        return PASSED
    down = find_down(request)
    if down:
        return holds(HoldReason.DEPENDENCY_DOWN, f"{', '.join(down)} down (condition unknown: {condition.problem})")
    return holds(HoldReason.CONDITION_UNKNOWN, condition.problem or "nobody answered")


@guard(order=500, reasons=frozenset({HoldReason.DEPENDENCY_DOWN, HoldReason.DEPENDENCY_UNKNOWN}))
def dependency(request: GuardInput) -> GuardOutcome:
    """Holds while a dependency of the policy is down, or while its state is unknown."""
    down = find_down(request)
    if down:
        return holds(HoldReason.DEPENDENCY_DOWN, f"{', '.join(down)} down")
    unknown = [
        f"{name}: {_state(request, name).problem}" for name in _names(request) if not _state(request, name).value
    ]
    if unknown:
        return holds(HoldReason.DEPENDENCY_UNKNOWN, "; ".join(unknown))
    return PASSED


def find_down(request: GuardInput) -> tuple[str, ...]:
    """Names of the policy's dependencies that are known to be down."""
    return tuple(name for name in _names(request) if _state(request, name).value is False)


def _names(request: GuardInput) -> tuple[str, ...]:
    """The policy's dependencies."""
    return request.policy.dependencies


def _state(request: GuardInput, name: str) -> Fact[bool]:
    """Whether a dependency is up; one that was not read is unknown."""
    return request.facts.dependencies.get(name, Fact(None, "", "not asked"))


NOT_ASKED: Fact[bool] = Fact(None, "", "not asked")


@guard(order=900, reasons=frozenset({HoldReason.WITNESS_MISSING, HoldReason.WITNESSES_DISAGREE}))
def witnesses(request: GuardInput) -> GuardOutcome:
    """Holds an action that stops pods unless a witness independent of the exporter confirms the fault.

    The condition is the first witness. To an exporter without a connection a healthy product looks faulty: then the
    second witness contradicts, or does not answer.
    """
    if not request.has(Effect.STOPS_PODS):
        return PASSED
    opinions = {item.name: request.facts.witnesses.get(item.name, NOT_ASKED) for item in request.policy.witnesses}
    if any(opinion.value is True for opinion in opinions.values()):
        return PASSED
    against = [name for name, opinion in opinions.items() if opinion.value is False]
    if against:
        return holds(HoldReason.WITNESSES_DISAGREE, f"the condition holds, but {', '.join(against)} saw no fault")
    problems = "; ".join(f"{name}: {opinion.problem}" for name, opinion in opinions.items())
    return holds(HoldReason.WITNESS_MISSING, problems or "the policy has no witness")


@guard(order=1400, reasons=frozenset({HoldReason.CUSTOM, HoldReason.CUSTOM_UNKNOWN}))
def custom(request: GuardInput) -> GuardOutcome:
    """Holds if a guard of the policy has the result that it names, or no fresh result.

    An empty result counts only together with a proof that data arrives (collectors, or `freshness`).
    """
    for item in request.policy.guards:
        answer = request.facts.custom.get(item.name, NOT_ASKED)
        if answer.value is None:
            return holds(HoldReason.CUSTOM_UNKNOWN, f"{item.name}: {answer.problem}")
        if answer.value is (item.hold_if is HoldIf.NONEMPTY):
            return holds(HoldReason.CUSTOM, f"{item.name}: {item.reason}")
    return PASSED
