"""Ends a few database sessions that hold a transaction open and do nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from remediations.core.action import ActionInput, action, refuses, settles
from remediations.core.fields import PolicySection, Range
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Need
from remediations.core.model.plan import Plan, SqlStep
from remediations.core.model.reasons import HoldReason

STATEMENT = "SELECT pid, idle_seconds FROM controlcore_remediator.terminate_idle_sessions($1, $2)"
"""The function selects the sessions and enforces the limits; `controlcore-remediator grants` prints it. PostgreSQL
12."""


@dataclass(frozen=True, slots=True)
class IdleSessionParameters(PolicySection):
    """The action's settings."""

    idle_seconds: Annotated[int, Range(60, 86400)] = 600
    """How long a session must have been idle in a transaction."""
    most: Annotated[int, Range(1, 5)] = 5
    """Maximum number of sessions ended at once, the longest idle first."""


@action(
    kinds=("Database",),
    effects=frozenset(),
    refusals=frozenset({HoldReason.TARGET_UNKNOWN}),
    rbac=(),
    parameters=IdleSessionParameters,
    needs=frozenset({Need.IDLE_SESSIONS}),
)
def plan(request: ActionInput) -> Plan | GuardOutcome:
    """Calls a SECURITY DEFINER function over the connection that is kept open since the start.

    The function ends client sessions of the control plane's role that are idle in a transaction for this long, never an
    active one, at most five. Its caller has no other right in the database.

    Undo: none; the sessions were rolled back, and the pool opens others.
    """
    fact = request.facts.sights.idle_sessions
    if fact is None or fact.value is None:
        return refuses(HoldReason.TARGET_UNKNOWN, "the sessions were not read" if fact is None else fact.problem)
    idle_seconds, most = float(request.parameters["idle_seconds"]), int(request.parameters["most"])
    if not fact.value.count:
        return settles(f"no session has been idle in a transaction for {idle_seconds:g} s")
    number = min(most, fact.value.count)
    target = request.target
    return Plan(
        action="terminate_idle_sessions",
        target=target,
        operation_id=request.operation_id,
        summary=(
            f"end {number} of {fact.value.count} sessions of {target.namespace}/{target.name} that are idle in a "
            f"transaction for more than {idle_seconds:g} s, one for {fact.value.longest_seconds:.0f} s"
        ),
        steps=(SqlStep(STATEMENT, (idle_seconds, most)),),
        prior={"idle_sessions": fact.value.count},
        expected={"effect": "called"},
    )
