"""Takes a claimed remediation from facts to a journalled decision: held, closed, or a plan whose write may begin.

Facts are gathered concurrently. The decision itself, from reading the history to journalling the intent, is made one at
a time, so that two remediations cannot both use the last of a budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chassis.log import get_logger
from remediations.core.codec import to_data
from remediations.core.decision_inputs import Inputs, make_inputs
from remediations.core.model.alert import Mode
from remediations.core.model.cluster import Workload
from remediations.core.model.decision import INPUTS, Act, Decision, Hold, NotNeeded
from remediations.core.model.errors import TargetBusyError
from remediations.core.model.facts import Facts
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import Remediation, State
from remediations.core.model.stored import plan_to_data, read_plan
from remediations.core.model.undo import Revert
from remediations.core.policies.policy import Policy, PolicySet, is_revert
from remediations.engine.context import EngineContext, Records
from remediations.engine.next_rung import begin_next_rung
from remediations.engine.reverts import judged_by, read_taking_back
from remediations.facts import evidence
from remediations.facts.gather import Evidence, GatheredFacts, gather
from remediations.facts.pause_file import read_pauses
from remediations.facts.queries import ask_mutes
from remediations.journal.decision_history import recollect
from remediations.journal.lease import Lease, Transition, changing
from remediations.journal.records import decision_data, describe, facts_data
from remediations.metrics import ActionOutcome

ORPHAN_SECONDS = 900.0
"""A remediation whose policy is no longer in the file closes as expired after this time."""
RETRY_SECONDS = 15.0
LEAST_RETRY_SECONDS = 0.1
MUTES_SECONDS = 0.1
"""If gathering takes longer, Alertmanager is queried again at its end, so that a silence set meanwhile counts."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """The plan that the engine must send now."""

    plan: Plan
    is_dry_run: bool = False
    is_done: bool = False
    """The object already carries the operation id: nothing is to be sent."""


class Decider:
    """Decides remediations in state CLAIMED."""

    def __init__(self, desk: EngineContext) -> None:
        self._desk = desk
        self._one_at_a_time = asyncio.Lock()

    async def decide(self, lease: Lease) -> Instruction | None:
        """The instruction that follows from the facts; None if the remediation is held or closed.

        With an instruction that is not a dry run the remediation is in state WRITING, and the intent is durable.
        """
        policy_set = self._desk.policies()
        policy = policy_set.named(lease.remediation.policy)
        if policy is None:
            await self._orphan(lease)
            return None
        clock, began = self._desk.clock, self._desk.clock.monotonic()
        taking_back = None
        if is_revert(policy) and (taking_back := await read_taking_back(self._desk.journal, lease.remediation)):
            policy = judged_by(policy, lease.remediation, taking_back)
        gathered = await self._gather(lease.remediation, policy, policy_set, taking_back)
        looked = clock.monotonic()
        if looked - began > MUTES_SECONDS:
            # A source that hangs uses up most of the lease; without this renewal no decision would be made.
            await lease.renew()
        kept = gathered.kept or await self._record_decision(lease.remediation, policy, policy_set, gathered)
        took = {"facts": looked - began, "evidence": clock.monotonic() - looked}
        if clock.monotonic() - began > MUTES_SECONDS:
            await lease.renew()
            gathered = await self._refresh_silences(gathered, lease.remediation)
        async with self._one_at_a_time:
            inputs = await self._recollect(lease.remediation, policy, policy_set, gathered.facts)
            earlier = find_earlier_write(lease.remediation, inputs.facts)
            if earlier is not None:
                return await self._adopt_write(lease, earlier, inputs.facts)
            return await self._record_settled(lease, inputs, took, kept)

    async def _refresh_silences(self, gathered: GatheredFacts, remediation: Remediation) -> GatheredFacts:
        """Refreshes the silences. If they were unknown before, no query is sent: the decision is a Hold anyway."""
        if gathered.facts.mutes.value is None:
            return gathered
        mutes = await ask_mutes(self._desk.sources, remediation.alert)
        return replace(gathered, facts=replace(gathered.facts, mutes=mutes))

    async def _gather(
        self, remediation: Remediation, policy: Policy, policy_set: PolicySet, taking_back: Revert | None
    ) -> GatheredFacts:
        """All facts but the pauses, under one deadline."""
        desk = self._desk
        async with asyncio.TaskGroup() as group:
            proof = group.create_task(desk.prove(policy, policy_set, remediation.target), name="fact.self_test")
            found = await gather(desk.sources, (policy, policy_set), remediation, desk.clock.now())
        return replace(
            found, facts=replace(found.facts, start=desk.start, self_test=proof.result(), taking_back=taking_back)
        )

    async def _record_decision(
        self, remediation: Remediation, policy: Policy, policy_set: PolicySet, gathered: GatheredFacts
    ) -> Evidence | None:
        """Evidence for the write that will follow if nothing changes meanwhile; None if no write would follow.

        Gathered before the lock, so that no other decision waits for it, and before the intent, so that one commit
        stores both.
        """
        if policy.mode not in {Mode.APPROVE, Mode.AUTO}:
            return None
        inputs = await self._recollect(remediation, policy, policy_set, gathered.facts)
        decision = inputs.decide()
        if not isinstance(decision, Act) or find_earlier_write(remediation, gathered.facts) is not None:
            return None
        return await gathered.collect_evidence(decision.plan)

    async def _recollect(self, remediation: Remediation, policy: Policy, policy_set: PolicySet, facts: Facts) -> Inputs:
        """Everything that the decision reads: the facts with the current pauses, and the history from the journal."""
        desk, now = self._desk, self._desk.clock.now()
        history, pauses = await recollect(desk.journal, remediation, policy_set, now)
        if desk.sources.pause_file is not None:
            pauses = await asyncio.to_thread(read_pauses, desk.sources.pause_file, pauses)
        return make_inputs(remediation, policy, policy_set, replace(facts, pauses=pauses), history, now)

    async def _record_settled(
        self, lease: Lease, inputs: Inputs, took: Mapping[str, float], kept: Evidence | None
    ) -> Instruction | None:
        """Decides and journals the decision with its inputs and durations (seconds); for an action also the intent."""
        policy, facts, decision = inputs.policy, inputs.facts, inputs.decide()
        before = lease.remediation
        limits = {"mode": policy.mode.value, "expires_at": inputs.remediation.created_at + policy.expires_seconds}
        data = decision_data(decision, facts) | limits | {"seconds": _rounded(took), INPUTS: to_data(inputs)}
        if isinstance(decision, NotNeeded):
            await lease.advance(State.NOT_NEEDED, "decision", data, changing(reason=decision.reason.value))
        elif isinstance(decision, Hold):
            await self._hold(lease, decision, data, policy.retry_seconds)
            if decision.reason is HoldReason.OTHER_RUNG:
                now = self._desk.clock.now()
                await begin_next_rung(self._desk.journal, self._desk.policies(), lease.remediation, now)
        else:
            try:
                order = await self._order(lease, policy, decision, data, kept)
            except TargetBusyError as error:
                decision = Hold(HoldReason.TARGET_BUSY, str(error), None, decision.guards)
                await self._hold(lease, decision, decision_data(decision, facts) | limits, policy.retry_seconds)
            else:
                self._log_decision(before, decision, policy)
                return order
        self._log_decision(before, decision, policy)
        return None

    async def _order(
        self, lease: Lease, policy: Policy, decision: Act, data: dict[str, Any], kept: Evidence | None
    ) -> Instruction | None:
        """Stores the plan in the journal, and continues as far as the policy's mode allows."""
        plan = decision.plan
        stored = changing(plan=plan_to_data(plan), operation_id=plan.operation_id, reason="guards_passed")
        if policy.mode is Mode.OBSERVE:
            await lease.advance(State.OBSERVED, "decision", data, stored)
            return None
        if policy.mode is Mode.DRY_RUN:
            await lease.append_record("decision", data)
            return Instruction(plan, is_dry_run=True)
        if kept is None or not kept.is_for(plan):
            # The reason of the hold at the time of gathering evidence has ended since, or the object is another one:
            # repeat.
            await lease.append_record("resumed", {"detail": "no evidence was stored for this plan; deciding again"})
            return None
        await self._intend(
            lease, plan, Transition(State.PLANNED, "decision", data, stored), ((evidence.KIND, kept.data),)
        )
        return Instruction(plan)

    async def _intend(self, lease: Lease, plan: Plan, planned: Transition, before: Records = ()) -> None:
        """PLANNED and WRITING in one commit: after a crash from here on, the object has to be read first."""
        intent = {"operation_id": plan.operation_id, "summary": plan.summary}
        change = changing(written_at=self._desk.clock.now())
        await lease.advance_through(planned, Transition(State.WRITING, "intent", intent, change, before))

    async def _hold(self, lease: Lease, decision: Hold, data: dict[str, Any], retry_seconds: float) -> None:
        """HELD until deciding again makes sense; EXPIRED closes, as unverified if there were attempts."""
        if decision.reason is HoldReason.EXPIRED:
            remediation = lease.remediation
            await lease.advance(State.EXPIRED, "decision", data, changing(reason=decision.reason.value))
            if remediation.attempts and remediation.plan is not None:
                action = read_plan(remediation).action
                self._desk.telemetry.count_action(remediation.policy, action, ActionOutcome.UNVERIFIED)
            return
        # Never later than the retry: a condition that is gone should close the remediation soon, and `until` is only
        # the earliest end of this one reason.
        now = self._desk.clock.now()
        until = decision.until if decision.until is not None else now + retry_seconds
        next_at = max(now + LEAST_RETRY_SECONDS, min(now + retry_seconds, until))
        change = changing(reason=decision.reason.value, next_at=next_at)
        await lease.advance(State.HELD, "decision", data, change)

    async def hold(self, lease: Lease, reason: HoldReason, detail: str) -> None:
        """HELD for a reason that showed only when writing; counted and logged like every decision."""
        before = lease.remediation
        policy = self._desk.policies().named(before.policy)
        decision = Hold(reason, detail)
        data: dict[str, Any] = {"decision": "hold", "reason": reason.value, "detail": detail, "guards": []}
        if policy is not None:
            data |= {"mode": policy.mode.value, "expires_at": lease.remediation.created_at + policy.expires_seconds}
        retry_seconds = RETRY_SECONDS if policy is None else policy.retry_seconds
        await self._hold(lease, decision, data, retry_seconds)
        self._log_decision(before, decision, policy)

    async def _orphan(self, lease: Lease) -> None:
        """A remediation whose policy was removed from the file: held, and closed when it is old."""
        age = self._desk.clock.now() - lease.remediation.created_at
        reason = HoldReason.EXPIRED if age > ORPHAN_SECONDS else HoldReason.NOT_ALLOWED
        await self.hold(lease, reason, "the policy is no longer in the policy file")

    async def _adopt_write(self, lease: Lease, plan: Plan, facts: Facts) -> Instruction:
        """The object carries our operation id although this process did not write it: verify, do not repeat."""
        detail = f"the object already carries {plan.operation_id}"
        data = {"detail": detail, "facts": facts_data(facts)}
        await self._intend(lease, plan, Transition(State.PLANNED, "replay", data))
        return Instruction(plan, is_done=True)

    def _log_decision(self, remediation: Remediation, decision: Decision, policy: Policy | None) -> None:
        """One metric and one log line for each decision; the same hold again, every few seconds, is debug.

        `remediation` is the one before the decision. The metric's name comes from the policy file only.
        """
        kind, reason, detail = describe(decision)
        self._desk.telemetry.count_decision(policy.name if policy is not None else "unknown", kind, reason)
        is_acting = policy is not None and policy.mode in {Mode.APPROVE, Mode.AUTO}
        acts = "decision.acted" if is_acting else "decision.would_have_acted"
        event = {"act": acts, "hold": "decision.held", "not_needed": "decision.not_needed"}[kind]
        is_same = kind == "hold" and reason == remediation.reason
        logger = get_logger()
        (logger.debug if is_same else logger.info)(
            event,
            remediation=remediation.policy,
            remediation_id=remediation.id,
            target=remediation.target.key,
            alert_fingerprint=remediation.alert.fingerprint,
            mode=policy.mode.value if policy is not None else None,
            reason=reason,
            detail=detail,
        )


def _rounded(took: Mapping[str, float]) -> dict[str, float]:
    """Seconds to a tenth of a millisecond."""
    return {name: round(seconds, 4) for name, seconds in took.items()}


def has_replicas(stored: Mapping[str, Any], workload: Workload) -> bool:
    """Whether the Deployment has the stored plan's number of replicas, set through /scale, which leaves no mark."""
    expected = stored.get("expected") or {}
    is_same = expected.get("effect") == "replicas" and expected.get("uid") == workload.uid
    return bool(is_same and expected.get("replicas") == workload.replicas_desired)


def find_earlier_write(remediation: Remediation, facts: Facts) -> Plan | None:
    """The stored plan, if an object of the facts carries its operation id: that write arrived after all."""
    if remediation.operation_id is None or remediation.plan is None:
        return None
    workload, autoscalers, scaled = facts.workload.value, facts.autoscalers.value, facts.sights.scaled_objects
    marks = [item.annotations for item in autoscalers or ()]
    marks += [item.annotations for item in (scaled.value if scaled is not None else None) or ()]
    if workload is not None:
        marks += [workload.annotations, workload.template_annotations]
        if has_replicas(remediation.plan, workload):
            return read_plan(remediation)
    if any(mark.get(ANNOTATION_OPERATION) == remediation.operation_id for mark in marks):
        return read_plan(remediation)
    return None
