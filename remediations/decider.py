"""Takes a claimed remediation from facts to a journalled decision: held, closed, or a plan whose write may begin.

Facts are gathered side by side; the decision itself, from reading the history to journalling the intent, is made one at
a time, so that two remediations cannot both spend the last of a budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chassis.clock import Clock
from chassis.log import get_logger
from remediations import plan as plans
from remediations.circumstances import ProcessStart
from remediations.decide import ACTIONS, decide
from remediations.decision import Act, Decision, Hold, NotNeeded, Plan
from remediations.facts import gather_facts, read_pauses
from remediations.journal.port import Journal, Remediation, TargetBusyError
from remediations.lease import Lease, changing
from remediations.model import ANNOTATION_OPERATION, Fact, Facts, History, Mode, Target
from remediations.policy import Policy, PolicySet
from remediations.policy_model import at_rung
from remediations.reasons import HoldReason
from remediations.recorded import INPUTS, make_inputs, to_text
from remediations.rungs import HISTORY_SECONDS, begin_next_rung
from remediations.sighting import Lookout
from remediations.sights import Sights
from remediations.sources import Sources
from remediations.states import State
from remediations.story import decision_data, describe, facts_data
from remediations.telemetry import Telemetry
from remediations.workload import Workload

ORPHAN_SECONDS = 900.0
"""A remediation whose policy is no longer in the file closes as expired after this time."""
NOWHERE = Lookout()
UNKNOWN_START: Fact[ProcessStart] = Fact(None, "journal", "not asked")
RETRY_SECONDS = 15.0
LEAST_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """What the engine has to send now."""

    plan: Plan
    is_dry_run: bool = False
    is_done: bool = False
    """The object was found to carry the operation id already: nothing is to be sent."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What deciding stands on."""

    journal: Journal
    policies: Callable[[], PolicySet]
    """The policy file as it is now (it may be read again while running)."""
    sources: Sources
    telemetry: Telemetry
    clock: Clock
    start: Fact[ProcessStart] = UNKNOWN_START
    """When this process began; without it every action is held as a cold start."""
    lookout: Lookout = NOWHERE
    """Where single actions look."""


class Decider:
    """Decides remediations in state CLAIMED."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._one_at_a_time = asyncio.Lock()

    async def decide(self, lease: Lease) -> Order | None:
        """The order that follows from the facts; None when the remediation is held or closed.

        With an order that is no dry run the remediation is in state WRITING: the intent is durable.
        """
        desk, policy_set = self._desk, self._desk.policies()
        policy = policy_set.named(lease.remediation.policy)
        if policy is None:
            await self._orphan(lease)
            return None
        remediation = lease.remediation
        facts = await gather_facts(desk.sources, policy, policy_set, remediation.target, remediation.alert)
        facts = replace(
            facts, start=desk.start, sights=await look(desk.lookout, policy, remediation.target, desk.clock.now())
        )
        await lease.renew()
        async with self._one_at_a_time:
            now = desk.clock.now()
            pauses = await desk.journal.pauses(now)
            facts = replace(facts, pauses=await asyncio.to_thread(read_pauses, desk.sources.pause_file, pauses))
            earlier = find_earlier_write(lease.remediation, facts)
            if earlier is not None:
                return await self._take_up(lease, earlier, facts)
            history = await self._history(lease.remediation, policy_set, now)
            decision = decide(lease.remediation, policy, policy_set, facts, history, now)
            inputs = to_text(make_inputs(lease.remediation, policy, policy_set, facts, history, now))
            return await self._settle(lease, policy, decision, facts, inputs)

    async def _history(self, remediation: Remediation, policy_set: PolicySet, now: float) -> History:
        """What the journal knows that matters for a decision."""
        journal, storm = self._desk.journal, policy_set.storm
        return History(
            actions=tuple(await journal.actions_since(now - HISTORY_SECONDS)),
            in_flight=tuple(await journal.in_flight(remediation.target, other_than=remediation.id)),
            attempts=remediation.attempts,
            arrivals=tuple(await journal.arrivals_since(now - storm.window_seconds - storm.cooldown_seconds)),
            approval=await journal.approval(remediation.id),
            breaker_resets=tuple(await journal.breaker_resets(now - HISTORY_SECONDS)),
        )

    async def _settle(
        self, lease: Lease, policy: Policy, decision: Decision, facts: Facts, inputs: str
    ) -> Order | None:
        """Journals the decision with its inputs, and for an action the intent."""
        data = decision_data(decision, facts) | {INPUTS: inputs}
        if isinstance(decision, NotNeeded):
            await lease.advance(State.NOT_NEEDED, "decision", data, changing(reason="condition_gone"))
        elif isinstance(decision, Hold):
            await self._hold(lease, decision, data, policy.retry_seconds)
            if decision.reason is HoldReason.OTHER_RUNG:
                now = self._desk.clock.now()
                await begin_next_rung(self._desk.journal, self._desk.policies(), lease.remediation, now)
        else:
            try:
                order = await self._order(lease, policy, decision, data)
            except TargetBusyError as error:
                decision = Hold(HoldReason.TARGET_BUSY, str(error), None, decision.guards)
                await self._hold(lease, decision, decision_data(decision, facts), policy.retry_seconds)
            else:
                self._tell(lease.remediation, decision, policy)
                return order
        self._tell(lease.remediation, decision, policy)
        return None

    async def _order(self, lease: Lease, policy: Policy, decision: Act, data: dict[str, Any]) -> Order | None:
        """The plan in the journal, as far as the policy's mode goes."""
        plan = decision.plan
        stored = changing(plan=plans.to_data(plan), operation_id=plan.operation_id, reason="guards_passed")
        if policy.mode is Mode.OBSERVE:
            await lease.advance(State.OBSERVED, "decision", data, stored)
            return None
        if policy.mode is Mode.DRY_RUN:
            await lease.note("decision", data)
            return Order(plan, is_dry_run=True)
        await lease.advance(State.PLANNED, "decision", data, stored)
        await self.begin_writing(lease, plan)
        return Order(plan)

    async def begin_writing(self, lease: Lease, plan: Plan) -> None:
        """PLANNED → WRITING: from here on a crash means that the object has to be looked at."""
        intent = {"operation_id": plan.operation_id, "summary": plan.summary}
        await lease.advance(State.WRITING, "intent", intent, changing(written_at=self._desk.clock.now()))

    async def _hold(self, lease: Lease, decision: Hold, data: dict[str, Any], retry_seconds: float) -> None:
        """HELD until it is worth asking again; EXPIRED closes."""
        if decision.reason is HoldReason.EXPIRED:
            await lease.advance(State.EXPIRED, "decision", data, changing(reason=decision.reason.value))
            return
        # Never later than the retry: a condition that has gone should close the remediation soon, and `until` is only
        # the earliest end of this one reason.
        now = self._desk.clock.now()
        until = decision.until if decision.until is not None else now + retry_seconds
        next_at = max(now + LEAST_RETRY_SECONDS, min(now + retry_seconds, until))
        await lease.advance(State.HELD, "decision", data, changing(reason=decision.reason.value, next_at=next_at))

    async def hold(self, lease: Lease, reason: HoldReason, detail: str) -> None:
        """HELD for a reason that showed only when writing; counted and logged like every decision."""
        policy = self._desk.policies().named(lease.remediation.policy)
        decision = Hold(reason, detail)
        data: dict[str, Any] = {"decision": "hold", "reason": reason.value, "detail": detail, "guards": []}
        await self._hold(lease, decision, data, RETRY_SECONDS if policy is None else policy.retry_seconds)
        self._tell(lease.remediation, decision, policy)

    async def _orphan(self, lease: Lease) -> None:
        """A remediation whose policy has been taken out of the file: held, and closed when it is old."""
        age = self._desk.clock.now() - lease.remediation.created_at
        reason = HoldReason.EXPIRED if age > ORPHAN_SECONDS else HoldReason.NOT_ALLOWED
        await self.hold(lease, reason, "the policy is not in the policy file any more")

    async def _take_up(self, lease: Lease, plan: Plan, facts: Facts) -> Order:
        """The object carries our operation id although nobody here knew: the write is verified, not repeated."""
        await lease.advance(
            State.PLANNED,
            "replay",
            {"detail": f"the object already carries {plan.operation_id}", "facts": facts_data(facts)},
        )
        await self.begin_writing(lease, plan)
        return Order(plan, is_done=True)

    def _tell(self, remediation: Remediation, decision: Decision, policy: Policy | None) -> None:
        """One metric and one log line for each decision. The metric's name comes from the policy file only."""
        kind, reason, detail = describe(decision)
        self._desk.telemetry.count_decision(policy.name if policy is not None else "unknown", kind, reason)
        event = {"act": "decision.acted", "hold": "decision.held", "not_needed": "decision.not_needed"}[kind]
        get_logger().info(
            event,
            remediation=remediation.policy,
            remediation_id=remediation.id,
            target=remediation.target.key,
            alert_fingerprint=remediation.alert.fingerprint,
            mode=policy.mode.value if policy is not None else None,
            reason=reason,
            detail=detail,
        )


async def look(lookout: Lookout, policy: Policy, target: Target, now: float) -> Sights:
    """What the actions of the policy, its rungs included, need to know beside the facts."""
    rungs = [at_rung(policy, number) for number in range(1 + len(policy.ladder))]
    specs = [ACTIONS[rung.action] for rung in rungs if rung.action in ACTIONS]
    needs = frozenset(need for spec in specs for need in spec.needs)
    if not needs or target not in {item for rung in rungs for item in rung.targets}:
        return Sights()
    idle = next((rung.parameters["idle_seconds"] for rung in rungs if "idle_seconds" in rung.parameters), 600.0)
    return await lookout.look(needs, target, now, float(idle))


def has_replicas(stored: Mapping[str, Any], workload: Workload) -> bool:
    """Whether the Deployment has the number of replicas that the stored plan sets by /scale, which leaves no mark."""
    expected = stored.get("expected") or {}
    is_same = expected.get("effect") == "replicas" and expected.get("uid") == workload.uid
    return bool(is_same and expected.get("replicas") == workload.replicas_desired)


def find_earlier_write(remediation: Remediation, facts: Facts) -> Plan | None:
    """The stored plan, when an object of the facts carries its operation id: that write has arrived after all."""
    if remediation.operation_id is None or remediation.plan is None:
        return None
    workload, autoscalers, scaled = facts.workload.value, facts.autoscalers.value, facts.sights.scaled_objects
    marks = [item.annotations for item in autoscalers or ()]
    marks += [item.annotations for item in (scaled.value if scaled is not None else None) or ()]
    if workload is not None:
        marks += [workload.annotations, workload.template_annotations]
        if has_replicas(remediation.plan, workload):
            return plans.from_data(remediation.plan)
    if any(mark.get(ANNOTATION_OPERATION) == remediation.operation_id for mark in marks):
        return plans.from_data(remediation.plan)
    return None
