"""Tells what would be decided about one webhook payload now, and does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from remediations import exits, report
from remediations.core.decide import decide
from remediations.core.decision_inputs import facts_to_data
from remediations.core.intake import Payload, match_alerts
from remediations.core.model.alert import Match
from remediations.core.model.decision import Act, Decision, NotNeeded
from remediations.core.model.facts import Facts, History
from remediations.core.model.remediation import Remediation, State
from remediations.core.model.stored import describe_difference, plan_hash, plan_to_data
from remediations.core.policies.policy import Policy, PolicySet
from remediations.journal.records import decision_data, describe

REHEARSAL_ID = "0" * 24
"""Stands for the id that a real remediation would get."""
RECORDED = "recorded_facts"
"""Key under which the facts stand as `plan --facts` reads them."""

Look = Callable[[Policy, Remediation], Awaitable[tuple[Facts, History]]]
"""The facts of now, pauses included, and what the journal knows."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One policy's decision about one target."""

    policy: Policy
    match: Match
    decision: Decision
    facts: Facts


async def rehearse(
    payload: Payload, policy_set: PolicySet, look: Look, now: float, most: int | None = None
) -> tuple[Rehearsed, ...]:
    """The decision for each pair of a policy and a target that the firing alerts belong to, each pair once.

    Raises ValueError for more than `most` pairs, before anything is asked.
    """
    pairs = {
        (match.policy, match.target): match
        for match in match_alerts(payload, policy_set, now).matches
        if match.alert.is_firing
    }
    if most is not None and len(pairs) > most:
        raise ValueError(f"the alerts make {len(pairs)} pairs of a policy and a target; at most {most} at once")
    found = []
    for match in pairs.values():
        policy = policy_set.named(match.policy)
        if policy is None:
            continue
        remediation = _imagined(match, now)
        facts, history = await look(policy, remediation)
        decision = decide(remediation, policy, policy_set, facts, history, now)
        found.append(Rehearsed(policy, match, decision, facts))
    return tuple(found)


def exit_status(rehearsed: tuple[Rehearsed, ...]) -> int:
    """0 when anything would be done, 3 when something is held, 4 when nothing is needed, 2 when no policy matches."""
    kinds = {type(item.decision) for item in rehearsed}
    if not kinds:
        return exits.CONFIG
    if Act in kinds:
        return exits.OK
    return exits.NOT_NEEDED if kinds == {NotNeeded} else exits.HOLD


def to_data(rehearsed: tuple[Rehearsed, ...]) -> list[dict[str, Any]]:
    """The decisions as JSON-able data."""
    return [
        {"policy": item.policy.name, "mode": item.policy.mode.value, "target": item.match.target.key}
        | decision_data(item.decision, item.facts)
        | {RECORDED: facts_to_data(item.facts)}
        | ({} if not isinstance(item.decision, Act) else _plan_data(item.decision))
        for item in rehearsed
    ]


def render(rehearsed: tuple[Rehearsed, ...]) -> str:
    """The decisions for a person: guards in order, then the plan with its difference."""
    lines: list[str] = []
    for item in rehearsed:
        kind, reason, detail = describe(item.decision)
        lines.append(f"{item.policy.name} ({item.policy.mode.value}) on {item.match.target.key}")
        rows = [
            (
                f"{number}",
                guard.guard,
                "HOLD" if guard.reason else "settled" if guard.is_settled else "ok",
                guard.detail,
            )
            for number, guard in enumerate(item.decision.guards, 1)
        ]
        lines += [f"  {line}" for line in report.table([("", "GUARD", "ANSWER", "DETAIL"), *rows]).splitlines()]
        lines.append(f"  {kind.upper()} {reason}: {report.printable(detail)}")
        if isinstance(item.decision, Act):
            lines += [f"    {line}" for line in describe_difference(item.decision.plan).splitlines()]
        lines.append("")
    return "\n".join(lines)


def _plan_data(decision: Act) -> dict[str, Any]:
    """The plan, its name and its difference."""
    plan = decision.plan
    return {
        "plan": plan_to_data(plan),
        "plan_hash": plan_hash(plan),
        "difference": describe_difference(plan),
    }


def _imagined(match: Match, now: float) -> Remediation:
    """The remediation that the alert would begin."""
    return Remediation(
        id=REHEARSAL_ID,
        policy=match.policy,
        target=match.target,
        state=State.CLAIMED,
        alert=match.alert,
        created_at=now,
        updated_at=now,
        fence=0,
        lease_until=None,
        next_at=now,
    )
