"""Processes the journal: claims due remediations, decides, writes, verifies, and continues after a crash.

| found in state | an earlier worker                 | what is done                                              |
|----------------|-----------------------------------|-----------------------------------------------------------|
| CLAIMED        | died before it had decided        | facts are gathered again, and the decision is repeated    |
| PLANNED        | died before it could have written | back to CLAIMED: the decision is repeated                 |
| WRITING        | may or may not have written       | the object shows the operation id; else decided again     |
| VERIFYING      | had written                       | verification continues with the journal's observations    |

If it is unknown whether a write arrived, it is not sent again. Every remediation has one operation id, so a late write
of an earlier process is recognised. Every write that was sent counts as an attempt, even if the answer was an error or
missing: towards the remediation's attempts, the budgets, the breaker and the metrics. A 409 and a refused dry run are
not attempts, because the object stays as it was. The policy's retry separates two attempts, and follows a refusal or a
second 409 in a row.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from chassis.errors import InvariantBroken
from chassis.log import get_logger
from remediations.core.model.errors import FenceLostError, JournalError
from remediations.core.model.plan import Plan, SendOutcome, SendResult
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import Outcome, Remediation, State, Verdict
from remediations.core.model.stored import plan_to_data, read_plan
from remediations.engine.context import EngineContext
from remediations.engine.deciding import Decider, Instruction
from remediations.engine.reverts import follow_up
from remediations.engine.step_progress import JournalledProgress, read_progress, was_sent
from remediations.engine.verifying import Verifier
from remediations.execution.executor import Executor
from remediations.journal.lease import Lease, changing
from remediations.journal.records import sent_data
from remediations.metrics import ActionOutcome
from remediations.settings import WorkerSettings

MAX_ROUNDS = 4
"""Most steps within one claim; then the remediation is held for a while."""
MAX_CONFLICTS = 1
"""How often an object that changed since the decision (409) is decided again at once, within one claim."""
LOOK_SECONDS = 1.0
"""Minimum pause between two reads of an object whose write got no answer."""
SLOWEST_LOOK_SECONDS = 15.0
PATIENCE = 4.0
"""After n seconds without an answer the object is read every n / PATIENCE seconds."""
FAULT_SECONDS = 5.0
"""Pause before a step that met an internal error is tried again; doubled by each further error."""
SLOWEST_FAULT_SECONDS = 300.0
FAULTS_SECONDS = 3600.0
"""How long an internal error counts: an old one does not slow down the next one."""
COMPLAINT_SECONDS = 10.0
UNKNOWN_SECONDS = 600.0
"""A write whose result could not be read for this long closes as unverified."""

DRY_RUNS = frozenset({ActionOutcome.DRY_RUN, ActionOutcome.DRY_RUN_REFUSED})
_OUTCOMES = {
    SendResult.DONE: ActionOutcome.WRITTEN,
    SendResult.ALREADY_DONE: ActionOutcome.REPLAYED,
    SendResult.CHANGED: ActionOutcome.CHANGED,
    SendResult.REFUSED: ActionOutcome.REFUSED,
    SendResult.HELD: ActionOutcome.HELD,
    SendResult.UNKNOWN: ActionOutcome.UNKNOWN,
    SendResult.WAITING: ActionOutcome.WAITING,
    SendResult.STOPPED: ActionOutcome.STOPPED,
}


@dataclass(frozen=True, slots=True)
class EngineParts:
    """The engine's dependencies. `executor` None: no orchestrator, so nothing is ever written."""

    desk: EngineContext
    executor: Executor | None
    worker: WorkerSettings
    notify: Callable[[Remediation], None] = lambda _remediation: None
    """Called with every remediation that was processed; must not block."""


class Engine:
    """Runs workers until stopped. Raises InvariantBroken if an invariant is violated."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._decider = Decider(parts.desk)
        self._verifier = Verifier(parts.desk, parts.worker.verify_seconds)
        self._news = asyncio.Semaphore(0)
        self._silent_until = float("-inf")
        self._log = get_logger()

    def wake(self) -> None:
        """Wakes one idle worker, because the journal has something new.

        Each worker that claims something wakes the next one, so no queue length is needed.
        """
        if self._news.locked():
            self._news.release()

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set; a step in progress is finished first."""
        host = f"{socket.gethostname()}-{os.getpid()}"
        async with asyncio.TaskGroup() as group:
            for number in range(self._parts.worker.concurrency):
                name = f"{host}-{number}"
                group.create_task(self._work(name, stop), name=f"worker.{number}")
            group.create_task(self._release(stop), name="worker.release")

    async def _release(self, stop: asyncio.Event) -> None:
        """Wakes idle workers when the end begins."""
        await stop.wait()
        for _ in range(self._parts.worker.concurrency):
            self._news.release()

    async def _work(self, worker: str, stop: asyncio.Event) -> None:
        """One worker: step after step, with a pause if nothing is due."""
        while not stop.is_set():
            if not await self.turn(worker) and not stop.is_set():
                await self._idle()

    async def _idle(self) -> None:
        """Waits for a wake-up, or until something may be due."""
        try:
            async with asyncio.timeout(self._parts.worker.idle_seconds):
                await self._news.acquire()
        except TimeoutError:
            return

    async def turn(self, worker: str) -> bool:
        """Claims one remediation and processes it as far as possible now.

        False if none was due or the journal failed.
        """
        desk = self._parts.desk
        lease: Lease | None = None
        try:
            claim = await desk.journal.claim(worker, desk.clock.now(), self._parts.worker.lease_seconds)
            if claim is None:
                return False
            self.wake()
            lease = Lease(desk.journal, desk.clock, claim, self._parts.worker.lease_seconds)
            try:
                await self._process(lease)
            finally:
                self._parts.notify(lease.remediation)
        except InvariantBroken:
            raise
        except FenceLostError as error:
            self._log.warning("lease.lost", worker=worker, problem=str(error))
        except JournalError as error:
            await self._log_journal_failure(error)
            return False
        except Exception as error:  # noqa: BLE001 - the task boundary: one remediation's fault must not stop the others
            await self._record_fault(lease, error)
        return True

    async def _log_journal_failure(self, error: JournalError) -> None:
        """Logs that the journal fails, at most every COMPLAINT_SECONDS, and pauses."""
        now = self._parts.desk.clock.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + COMPLAINT_SECONDS
            self._log.error("journal.failed", problem=str(error))
        await self._parts.desk.clock.sleep(1.0)

    async def _record_fault(self, lease: Lease | None, error: Exception) -> None:
        """Logs and counts an internal error, and pauses the remediation before it is tried again.

        After the intent the write may have been sent: it counts as sent, and the object shows whether it arrived.
        """
        desk = self._parts.desk
        desk.telemetry.count_error()
        self._log.exception("engine.step_failed", remediation_id=None if lease is None else lease.remediation.id)
        if lease is None:
            return
        fault = type(error).__name__
        try:
            if lease.remediation.state is State.WRITING:
                plan = None if lease.remediation.plan is None else read_plan(lease.remediation)
                await self._wait(lease, SendOutcome(SendResult.UNKNOWN, f"a bug in the remediator: {fault}"), plan)
            else:
                now = desk.clock.now()
                pause = await self._fault_pause(lease.remediation.id, now)
                await lease.append_record("fault", {"error": fault}, next_at=now + pause)
        except JournalError as failure:
            self._log.warning("lease.lost", remediation_id=lease.remediation.id, problem=str(failure))

    async def _fault_pause(self, remediation_id: str, now: float) -> float:
        """How long a remediation pauses after an internal error, depending on the earlier ones; raises JournalError."""
        _, records = await self._parts.desk.journal.story(remediation_id)
        before = sum(record.kind == "fault" and record.at > now - FAULTS_SECONDS for record in records)
        return min(FAULT_SECONDS * 2.0 ** min(before, 16), SLOWEST_FAULT_SECONDS)

    async def _process(self, lease: Lease) -> None:
        """Takes one remediation from its state until it has to wait or is closed."""
        conflicts = 0
        for _ in range(MAX_ROUNDS):
            conflicts += await self._step(lease) is SendResult.CHANGED
            if lease.is_released:
                return
            await lease.renew()
            if conflicts > MAX_CONFLICTS:
                break
        if lease.remediation.state is State.CLAIMED:
            detail = f"changed {conflicts} times since the decision"
            await self._decider.hold(lease, HoldReason.OBJECT_CHANGED, detail)

    async def _step(self, lease: Lease) -> SendResult | None:
        """One step from the present state; returns the result of sending, if anything was sent."""
        state = lease.remediation.state
        if state is State.CLAIMED:
            order = await self._decider.decide(lease)
            return None if order is None else await self._execute(lease, order)
        if state is State.PLANNED:
            await lease.advance(State.CLAIMED, "resumed", {"detail": "nothing had been written; deciding again"})
        elif state is State.WRITING:
            await self._verify(lease)
        elif state is State.VERIFYING:
            await self._verifier.verify(lease)
        else:
            raise InvariantBroken(f"{lease.remediation.id} was claimed in state {state.value}")
        return None

    async def _execute(self, lease: Lease, order: Instruction) -> SendResult:
        """Sends what was decided."""
        executor = self._parts.executor
        if executor is None:
            raise InvariantBroken("there is a plan although nothing can be written")
        if order.is_dry_run:
            sent = await executor.dry_run(order.plan)
            await self._close_dry_run(lease, order.plan, sent)
        elif order.is_done:
            sent = SendOutcome(SendResult.ALREADY_DONE, "found while gathering facts")
            # Nothing is sent now: the late write was counted as lost, or its sender died before counting it.
            await self._apply_result(lease, order.plan, sent, is_attempt=not lease.remediation.attempts)
        else:
            began = self._parts.desk.clock.monotonic()
            sent = await executor.write(order.plan, lease.until, JournalledProgress(lease))
            await self._apply_result(lease, order.plan, sent, self._parts.desk.clock.monotonic() - began)
        return sent.result

    async def _close_dry_run(self, lease: Lease, plan: Plan, sent: SendOutcome) -> None:
        """Closes the remediation as DRY_RUN, with the server's answer."""
        outcome = ActionOutcome.DRY_RUN if sent.result is SendResult.DONE else ActionOutcome.DRY_RUN_REFUSED
        self._log_write(lease, plan, outcome, sent)
        change = changing(plan=plan_to_data(plan), operation_id=plan.operation_id, reason=outcome.value)
        await lease.advance(State.DRY_RUN, "write", sent_data(sent, is_dry_run=True), change)

    async def _verify(self, lease: Lease) -> None:
        """A write was intended, and it is unknown whether it arrived: the object shows it."""
        executor = self._parts.executor
        if executor is None:
            sent = SendOutcome(SendResult.UNKNOWN, "Kubernetes is no longer configured")
            await self._wait(lease, sent)
            return
        if lease.remediation.plan is None:
            raise InvariantBroken(f"{lease.remediation.id} is being written without a plan")
        plan = read_plan(lease.remediation)
        _, records = await self._parts.desk.journal.story(lease.remediation.id)
        progress = JournalledProgress(lease, read_progress(records))
        sent = await executor.check_outcome(plan, progress, lease.until)
        if sent.result is SendResult.CHANGED and was_sent(records):
            await self._lose(lease, plan, sent)
        else:
            await self._apply_result(lease, plan, sent)

    async def _lose(self, lease: Lease, plan: Plan, sent: SendOutcome) -> None:
        """The write got an error or no answer, and the object does not show it: an attempt, and then the retry's pause.

        Without both, the same write would be sent again at every reading while the server answers 5xx.
        """
        self._log_write(lease, plan, ActionOutcome.LOST, sent)
        await lease.advance(State.CLAIMED, "write", sent_data(sent), changing(is_attempt=True))
        detail = f"no proper answer to the write, and nothing of it was stored: {sent.detail}"
        await self._decider.hold(lease, HoldReason.WRITE_LOST, detail)

    async def _apply_result(
        self, lease: Lease, plan: Plan, sent: SendOutcome, seconds: float | None = None, *, is_attempt: bool = True
    ) -> None:
        """The next state after sending, with its duration, or after reading."""
        desk = self._parts.desk
        self._log_write(lease, plan, _OUTCOMES[sent.result], sent)
        data = sent_data(sent) | ({} if seconds is None else {"seconds": round(seconds, 4)})
        if sent.result in {SendResult.DONE, SendResult.ALREADY_DONE}:
            now = desk.clock.now()
            desk.telemetry.observe_write(now - lease.remediation.created_at)
            next_at = now + self._parts.worker.verify_seconds
            change = changing(is_attempt=is_attempt, next_at=next_at, releases=True, reason="written")
            await lease.advance(State.VERIFYING, "write", data, change)
        elif sent.result is SendResult.UNKNOWN:
            await self._wait(lease, sent, plan)
        elif sent.result is SendResult.WAITING:
            await lease.append_record("write", data, next_at=desk.clock.now() + self._parts.worker.verify_seconds)
        elif sent.result is SendResult.STOPPED:
            await lease.advance(State.FAILED, "write", data, changing(is_attempt=True, reason="check_failed"))
        else:
            was_refused = sent.result is SendResult.REFUSED and sent.was_sent
            # Cooldowns and budgets of other remediations must not see a write that was never counted.
            is_seen = was_refused or lease.remediation.attempts > 0
            change = changing(is_attempt=was_refused, written_at=None if is_seen else 0.0)
            await lease.advance(State.CLAIMED, "write", data, change)
            if sent.result in {SendResult.REFUSED, SendResult.HELD}:
                await self._decider.hold(lease, sent.hold or HoldReason.WRITE_REFUSED, sent.detail)

    async def _wait(self, lease: Lease, sent: SendOutcome, plan: Plan | None = None) -> None:
        """Pauses a remediation with an unknown write until the next reading; closes it if that takes too long."""
        now = self._parts.desk.clock.now()
        since = lease.remediation.written_at or lease.remediation.updated_at
        if now - since > UNKNOWN_SECONDS:
            # It may still have arrived: the revert checks that.
            judged = Verdict(Outcome.UNVERIFIED, sent.detail)
            follow = None if plan is None else follow_up(lease.remediation, plan, judged, now)
            change = changing(reason="write_unknown", follow=follow, is_attempt=True)
            await lease.advance(State.UNVERIFIED, "closed", sent_data(sent), change)
            return
        pause = max(LOOK_SECONDS, min(SLOWEST_LOOK_SECONDS, (now - since) / PATIENCE))
        await lease.append_record("write", sent_data(sent), next_at=now + pause)

    def _log_write(self, lease: Lease, plan: Plan, outcome: ActionOutcome, sent: SendOutcome) -> None:
        """One metric and one log line for each sent write."""
        remediation = lease.remediation
        self._parts.desk.telemetry.count_action(remediation.policy, plan.action, outcome)
        self._log.info(
            "step.dry_run_ended" if outcome in DRY_RUNS else "step.sent",
            remediation=remediation.policy,
            remediation_id=remediation.id,
            target=plan.target.key,
            operation_id=plan.operation_id,
            outcome=outcome.value,
            detail=sent.detail,
            generation=sent.generation,
        )
