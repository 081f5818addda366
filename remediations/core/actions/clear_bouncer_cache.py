"""Empties the caches of bouncers: first of one, and of the others once that one works as expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from remediations.core.action import ActionInput, action, refuses
from remediations.core.fields import PolicySection, Range, Several, Url
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.plan import GateStep, HttpStep, Plan, Step
from remediations.core.model.reasons import HoldReason
from remediations.core.queries import Collectors, Promql

PATH = "api/v1/policies/cache/clear"


@dataclass(frozen=True, slots=True)
class CacheParameters(PolicySection):
    """The action's settings."""

    urls: Several[Url]
    """Base URL of each bouncer; the first one is cleared first."""
    canary: Promql = ""
    """PromQL that is true while the first bouncer decides as expected; required with two or more bouncers."""
    canary_collectors: Collectors = ()
    """Exporter collectors behind it."""
    canary_seconds: Annotated[int, Range(5, 3600)] = 180
    """How long it may take to become true; after that the other bouncers keep their caches."""


@action(
    kinds=("BouncerFleet",),
    effects=frozenset(),
    refusals=frozenset({HoldReason.CONDITION_UNKNOWN}),
    rbac=(),
    parameters=CacheParameters,
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Clears the first bouncer's caches, waits for its canary, and then clears the others', one after the other.

    A cleared cache costs the next decisions a policy evaluation each, nothing else. A bouncer that decides wrongly with
    an empty cache has no policies: the others must keep theirs.

    Undo: none; the caches fill by themselves.
    """
    first, *rest = (f"{str(url).rstrip('/')}/{PATH}" for url in request.parameters["urls"])
    canary, collectors = str(request.parameters["canary"]), tuple(request.parameters["canary_collectors"])
    if rest and not (canary and collectors):
        return refuses(HoldReason.CONDITION_UNKNOWN, "several bouncers need `canary` and `canary_collectors`")
    steps: tuple[Step, ...] = (HttpStep("POST", first),)
    if rest:
        gate = GateStep(canary, collectors, 60.0, float(request.parameters["canary_seconds"]))
        steps = (*steps, gate, *(HttpStep("POST", url) for url in rest))
    target = request.target
    return Plan(
        action="clear_bouncer_cache",
        target=target,
        operation_id=request.operation_id,
        summary=(
            f"clear the caches of {1 + len(rest)} bouncers of {target.namespace}/{target.name}, the first one alone"
        ),
        steps=steps,
        prior={},
        expected={"effect": "called"},
    )
