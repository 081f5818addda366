"""Observes the effect of a write until there is a verdict."""

from __future__ import annotations

from dataclasses import replace

from chassis.log import get_logger
from remediations.core.codec import to_data
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Outcome, State, Verdict
from remediations.core.model.stored import read_plan
from remediations.core.verdict import verdict
from remediations.engine.context import EngineContext
from remediations.engine.next_rung import begin_next_rung
from remediations.engine.reverts import follow_up
from remediations.facts.observation import KIND, from_records, observe
from remediations.journal.lease import Lease, changing
from remediations.metrics import ActionOutcome

SLOWEST_SECONDS = 10.0
"""Longest pause between two observations; a long verification observes less often than a young one."""
PATIENCE = 20.0
"""After n seconds the effect is observed every n / PATIENCE seconds."""

_STATES = {
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.UNVERIFIED: State.UNVERIFIED,
}


class Verifier:
    """Continues remediations in state VERIFYING by one observation."""

    def __init__(self, desk: EngineContext, look_seconds: float) -> None:
        self._desk = desk
        self._look_seconds = look_seconds

    async def verify(self, lease: Lease) -> None:
        """Observes once, judges everything observed since the write, and closes the remediation or waits.

        Raises JournalError when the stored plan or observations cannot be read.
        """
        remediation, desk = lease.remediation, self._desk
        policy = desk.policies().named(remediation.policy)
        plan = read_plan(remediation)
        if policy is None:
            await self._close(lease, plan, Verdict(Outcome.UNVERIFIED, "the policy is no longer in the policy file"))
            return
        # Dated with the time of the last answer: data collected while the queries ran may be older than the effect that
        # they found.
        observation = replace(await observe(desk.sources, policy, plan, desk.clock.now()), at=desk.clock.now())
        await lease.renew()
        _, records = await desk.journal.story(remediation.id)
        now, written_at = desk.clock.now(), remediation.written_at or remediation.updated_at
        judged = verdict(policy, plan, (*from_records(records), observation), written_at, now)
        data = {KIND: to_data(observation), "outcome": judged.outcome.value, "detail": judged.detail}
        if judged.outcome is Outcome.PENDING:
            pause = min(SLOWEST_SECONDS, max(self._look_seconds, (now - written_at) / PATIENCE))
            await lease.append_record(KIND, data, next_at=now + pause)
            return
        await lease.append_record(KIND, data)
        await self._close(lease, plan, judged)

    async def _close(self, lease: Lease, plan: Plan, judged: Verdict) -> None:
        """The verdict as the closing state, a metric and a log line."""
        remediation, outcome = lease.remediation, judged.outcome
        await lease.advance(
            _STATES[outcome],
            "verification",
            {"outcome": outcome.value, "reason": judged.reason, "detail": judged.detail},
            changing(reason=judged.reason, follow=follow_up(remediation, plan, judged, self._desk.clock.now())),
        )
        counted = ActionOutcome(judged.reason)
        if outcome is Outcome.FAILED:
            # The next rung is a separate decision.
            now = self._desk.clock.now()
            has_next = await begin_next_rung(self._desk.journal, self._desk.policies(), remediation, now)
            if has_next and counted is ActionOutcome.FAILED:
                counted = ActionOutcome.ESCALATED
        seconds = self._desk.clock.now() - (remediation.written_at or remediation.updated_at)
        self._desk.telemetry.count_action(remediation.policy, plan.action, counted)
        self._desk.telemetry.observe_verdict(plan.action, seconds)
        get_logger().info(
            f"verification.{outcome.value}",
            reason=judged.reason,
            remediation=remediation.policy,
            remediation_id=remediation.id,
            target=plan.target.key,
            seconds_since_write=round(seconds, 3),
            detail=judged.detail,
        )
