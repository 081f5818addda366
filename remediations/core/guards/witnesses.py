"""Nothing is stopped on the word of one observer."""

from __future__ import annotations

from remediations.core.action import Effect
from remediations.core.guard import PASSED, GuardInput, guard, holds
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason

UNASKED: Fact[bool] = Fact(None, "", "not asked")


@guard(order=900, reasons=frozenset({HoldReason.WITNESS_MISSING, HoldReason.WITNESSES_DISAGREE}))
def check(request: GuardInput) -> GuardOutcome:
    """Holds an action that stops pods unless a witness independent of the exporter confirms the fault.

    The condition is the first witness. A healthy product seen by an exporter that is cut off from it looks like a
    fault: then the second witness contradicts, or is not there.
    """
    if not request.has(Effect.STOPS_PODS):
        return PASSED
    opinions = {item.name: request.facts.witnesses.get(item.name, UNASKED) for item in request.policy.witnesses}
    if any(opinion.value is True for opinion in opinions.values()):
        return PASSED
    against = [name for name, opinion in opinions.items() if opinion.value is False]
    if against:
        return holds(HoldReason.WITNESSES_DISAGREE, f"the condition holds, but {', '.join(against)} saw no fault")
    problems = "; ".join(f"{name}: {opinion.problem}" for name, opinion in opinions.items())
    return holds(HoldReason.WITNESS_MISSING, problems or "the policy has no witness")
