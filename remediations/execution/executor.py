"""The only writer. Sends the steps of a plan, each with its preconditions, while the claim is still ours.

If it is unknown whether a write arrived, it is not sent again: the object is read, and carries the operation id or does
not.

- A step that starts pods from a template is sent as a dry run first. If the server's warnings show that the namespace
  would refuse the pods, or its labels show that there would be no warning, nothing is sent and the serving pods stay.
- A plan in dry run is sent with dryRun=All: the server checks rights, admission and preconditions, and stores nothing.
  HTTP calls and statements have no dry run, so they are not sent.
- 409, and 422 on metadata.uid, mean that the object has changed since the decision. If it already carries the
  operation id, the step is done; otherwise facts are gathered and decided again.
- No answer (time-out, reset, 5xx) means unknown: only reading the object can show the result.
- A step that leaves no mark is journalled before it is sent and never sent again; an interrupted plan continues after
  it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from chassis.clock import Clock
from chassis.errors import BackendError, Reason
from chassis.kubernetes.objects import is_ending, is_over
from remediations.core.model.errors import FenceLostError
from remediations.core.model.facts import NO_DATABASE, NO_ORCHESTRATOR, Fact
from remediations.core.model.plan import (
    CreateStep,
    GateStep,
    HttpStep,
    PatchStep,
    Plan,
    SendOutcome,
    SendResult,
    SqlStep,
    Step,
    leaves_no_mark,
    namespace_of,
    starts_pods,
)
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import Query
from remediations.execution import pod_security
from remediations.execution.senders import (
    ApiWriter,
    Caller,
    Key,
    fill_template,
    send_call,
    send_creation,
    send_patch,
    send_statement,
)
from remediations.facts.sources import Session


class Progress(Protocol):
    """The executor's callbacks before and after a step that leaves no mark."""

    def begun_at(self, index: int) -> float | None:
        """Unix seconds at which the step began; None when it has not."""
        ...

    async def begin(self, index: int) -> float:
        """Makes the start durable and returns until when the claim is ours; raises FenceLostError."""
        ...

    async def take_back(self, index: int, why: str) -> None:
        """Records that the step was certainly not sent."""
        ...


ARRIVED = frozenset({SendResult.DONE, SendResult.ALREADY_DONE})
UNREHEARSED = ("does not support dry run", "the API's answer is")
"""Parts of a dry run's answer that says nothing: an admission webhook with side effects would have to be called
(400), or the answer cannot be read."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Senders of the steps other than patches; None if not configured."""

    http: Caller | None = None
    keys: Mapping[str, Key] = field(default_factory=dict)
    """Origin → the key that may be sent there, and only there."""
    sql: Session | None = None
    query: Callable[[Query], Awaitable[Fact[bool]]] | None = None


class Executor:
    """Executes plans against one API server, and with the given senders."""

    def __init__(self, api: ApiWriter | None, clock: Clock, timeout_seconds: float, tools: Tools | None = None) -> None:
        self._api = api
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._tools = tools if tools is not None else Tools()

    async def dry_run(self, plan: Plan) -> SendOutcome:
        """The server's answer to the plan as a dry run; changes nothing."""
        results = []
        for step in plan.steps:
            sent = await self._dry_run(step)
            if sent.result is not SendResult.DONE:
                return sent
            results.append(sent)
        return results[-1] if results else SendOutcome(SendResult.DONE)

    async def write(self, plan: Plan, lease_until: float, progress: Progress | None = None) -> SendOutcome:
        """Sends the plan. The caller holds the claim until `lease_until` (Unix seconds) and has journalled the intent.

        `progress` is needed for steps that leave no mark. Raises FenceLostError before a step that might not end within
        the lease.
        """
        results: list[SendOutcome] = []
        for index, step in enumerate(plan.steps):
            if isinstance(step, GateStep):
                sent = await self._pass_gate(step, index, progress)
            elif leaves_no_mark(step):
                sent = await self._send_once(step, index, progress)
            else:
                sent = await self._send_marked(step, lease_until)
            if sent.result not in ARRIVED:
                return self._broken_off(plan, index, sent, results)
            if not isinstance(step, GateStep):
                results.append(sent)
        return _sum(results)

    async def check_outcome(
        self, plan: Plan, progress: Progress | None = None, lease_until: float = 0.0
    ) -> SendOutcome:
        """Whether an earlier write of this plan arrived: ALREADY_DONE, CHANGED (it did not), or UNKNOWN.

        A plan with steps that leave no mark continues after the last started one; if none has started, it was not sent.
        """
        if any(leaves_no_mark(step) for step in plan.steps):
            begun = [index for index in range(len(plan.steps)) if progress and progress.begun_at(index) is not None]
            if not begun:
                return SendOutcome(SendResult.CHANGED, "no step had started")
            return await self.write(plan, lease_until, progress)
        try:
            for step in plan.steps:
                if not await self._is_done(step):
                    return SendOutcome(SendResult.CHANGED, "the object does not carry the operation id")
        except BackendError as error:
            is_gone = error.reason is Reason.MISSING
            return SendOutcome(SendResult.CHANGED if is_gone else SendResult.UNKNOWN, f"{error.reason.value}: {error}")
        return SendOutcome(SendResult.ALREADY_DONE, f"the object carries {plan.operation_id}")

    def _broken_off(self, plan: Plan, index: int, sent: SendOutcome, before: Sequence[SendOutcome]) -> SendOutcome:
        """The answer for a plan of which one step did not arrive.

        If an earlier step that leaves no mark did, a new plan would send that one again. So the steps already done are
        verified instead.
        """
        is_final = sent.result in {SendResult.REFUSED, SendResult.CHANGED, SendResult.HELD}
        if is_final and before and any(leaves_no_mark(step) for step in plan.steps[:index]):
            return SendOutcome(
                SendResult.DONE, f"step {index + 1} of {len(plan.steps)} was not accepted: {sent.detail}"
            )
        return sent

    async def _send_once(self, step: Step, index: int, progress: Progress | None) -> SendOutcome:
        """A step that leaves no mark: its start is journalled, then it is sent; a started one is not sent again."""
        if progress is None:
            return SendOutcome(SendResult.REFUSED, "there is no journal for the step's start", was_sent=False)
        if progress.begun_at(index) is not None:
            return SendOutcome(SendResult.ALREADY_DONE, "the step had started; it is never sent twice")
        if not self._has_tool(step):
            return SendOutcome(SendResult.REFUSED, _lack(step), was_sent=False)
        lease_until = await progress.begin(index)
        sent = await self._send(step, lease_until)
        if sent.result is SendResult.REFUSED:
            await progress.take_back(index, sent.detail)
        return sent

    async def _send_marked(self, step: Step, lease_until: float) -> SendOutcome:
        """A step that leaves a mark on an object, with its template inserted."""
        if self._api is not None and starts_pods(step) and isinstance(step, PatchStep):
            return await self._rehearse(step, lease_until) or await self._send(step, lease_until)
        if self._api is None or not isinstance(step, CreateStep) or not step.template_path:
            return await self._send(step, lease_until)
        whole = await fill_template(self._api, step, self._timeout_seconds)
        return (
            whole
            if isinstance(whole, SendOutcome)
            else await self._rehearse(whole, lease_until) or await self._send(whole, lease_until)
        )

    async def _rehearse(self, step: PatchStep | CreateStep, lease_until: float) -> SendOutcome | None:
        """Why the step is not sent now, according to the API server's answer to its dry run.

        None if the server would accept it and the new pods. An admission webhook without dry run makes the answer
        useless. A refusal is marked as not sent, because the write itself was never sent.
        """
        self._require_lease(lease_until)
        asked = await self._dry_run(step)
        if asked.result is SendResult.DONE or any(words in asked.detail for words in UNREHEARSED):
            return None
        if asked.result is SendResult.REFUSED:
            asked = replace(asked, was_sent=False)
        return await self._read_back(step, asked) if asked.result in {SendResult.CHANGED, SendResult.REFUSED} else asked

    async def _judge_pods(self, api: ApiWriter, step: PatchStep | CreateStep, answered: SendOutcome) -> SendOutcome:
        """The answer, or HELD if its warnings, or missing warnings, speak against new pods."""
        if answered.result is not SendResult.DONE or not starts_pods(step):
            return answered
        try:
            namespace = await api.get(namespace_of(step.path), timeout_seconds=self._timeout_seconds)
            labels = (namespace.get("metadata") or {}).get("labels") or {}
        except BackendError:
            labels = None
        refusal = pod_security.find_refusal(answered.warnings, labels)
        if refusal:
            return SendOutcome(SendResult.HELD, f"new pods: {refusal}", hold=HoldReason.PODS_REFUSED)
        doubt = pod_security.find_doubt(labels) if labels is not None else ""
        if doubt:
            words = f"unknown whether Pod Security would accept new pods: {doubt}"
            return SendOutcome(SendResult.HELD, words, hold=HoldReason.PODS_UNKNOWN)
        return answered

    async def _pass_gate(self, step: GateStep, index: int, progress: Progress | None) -> SendOutcome:
        """Whether the check is true, with data collected after the previous step began."""
        since = progress.begun_at(index - 1) if progress is not None and index else None
        if since is None or self._tools.query is None:
            return SendOutcome(SendResult.STOPPED, "it is unknown when the previous step was sent")
        fact = await self._tools.query(Query(step.promql, step.collectors, step.max_age_seconds))
        if fact.value and fact.collected_at is not None and fact.collected_at > since:
            return SendOutcome(SendResult.ALREADY_DONE, f"{step.promql} is true")
        problem = fact.problem or ("is false" if fact.value is False else "no collection since the previous step")
        if self._clock.now() < since + step.timeout_seconds:
            return SendOutcome(SendResult.WAITING, f"{step.promql}: {problem}")
        return SendOutcome(
            SendResult.STOPPED, f"{step.promql} did not become true within {step.timeout_seconds:g} s: {problem}"
        )

    def _has_tool(self, step: Step) -> bool:
        """Whether a sender for this kind of step is configured."""
        if isinstance(step, HttpStep):
            return self._tools.http is not None
        return self._tools.sql is not None if isinstance(step, SqlStep) else self._api is not None

    async def _dry_run(self, step: Step) -> SendOutcome:
        """The server's answer to one step as a dry run."""
        if not isinstance(step, GateStep) and not self._has_tool(step):
            return SendOutcome(SendResult.REFUSED, _lack(step), was_sent=False)
        if self._api is not None and isinstance(step, PatchStep):
            sent = await send_patch(self._api, step, self._timeout_seconds, is_dry_run=True)
            return await self._judge_pods(self._api, step, sent)
        if self._api is not None and isinstance(step, CreateStep):
            whole = await fill_template(self._api, step, self._timeout_seconds)
            if isinstance(whole, SendOutcome):
                return whole
            sent = await send_creation(self._api, whole, self._timeout_seconds, is_dry_run=True)
            return await self._judge_pods(self._api, whole, sent)
        return SendOutcome(SendResult.DONE, "not sent: this call has no dry run")

    async def _send(self, step: Step, lease_until: float) -> SendOutcome:
        """Sends one step."""
        # No await between this check and the call: an expired claim must not write.
        self._require_lease(lease_until)
        tools, seconds = self._tools, self._timeout_seconds
        if isinstance(step, HttpStep) and tools.http is not None:
            return await send_call(tools.http, step, tools.keys, seconds)
        if isinstance(step, SqlStep) and tools.sql is not None:
            return await send_statement(tools.sql, step, seconds)
        if self._api is None:
            return SendOutcome(SendResult.REFUSED, NO_ORCHESTRATOR, was_sent=False)
        if isinstance(step, PatchStep):
            sent = await send_patch(self._api, step, seconds, is_dry_run=False)
        elif isinstance(step, CreateStep):
            sent = await send_creation(self._api, step, seconds, is_dry_run=False)
        else:
            return SendOutcome(SendResult.REFUSED, _lack(step), was_sent=False)
        return await self._read_back(step, sent) if sent.result in {SendResult.CHANGED, SendResult.REFUSED} else sent

    def _require_lease(self, lease_until: float) -> None:
        """Raises FenceLostError if the claim could expire before a request is answered."""
        if self._clock.now() + self._timeout_seconds > lease_until:
            raise FenceLostError("the lease would expire before the write is answered")

    async def _read_back(self, step: Step, refused: SendOutcome) -> SendOutcome:
        """The refusal, unless the object carries the operation id: then the step is done, whatever the answer was."""
        try:
            is_done = await self._is_done(step)
        except BackendError as error:
            if refused.result is SendResult.REFUSED and error.reason is Reason.PERMISSION:
                # Neither writing nor reading is allowed: another request would give no new information.
                return refused
            return SendOutcome(SendResult.UNKNOWN, f"{refused.detail}; then {error.reason.value}: {error}")
        return SendOutcome(SendResult.ALREADY_DONE, "the object carries the operation id") if is_done else refused

    async def _is_done(self, step: Step) -> bool:
        """Whether the object shows the mark of the step; raises BackendError."""
        if self._api is None or not isinstance(step, PatchStep | CreateStep):
            return False
        path = step.path if isinstance(step, PatchStep) else step.look_path
        gone_uid = step.gone_uid if isinstance(step, CreateStep) else ""
        try:
            document = await self._api.get(path, timeout_seconds=self._timeout_seconds)
        except BackendError as error:
            if isinstance(step, CreateStep) and error.reason is Reason.MISSING:
                return bool(gone_uid)
            raise
        metadata = document.get("metadata") or {}
        if gone_uid:
            return metadata.get("uid") != gone_uid or is_ending(document) or is_over(document)
        if isinstance(step, PatchStep) and not step.done_if:
            # A subresource drops annotations: the absolute value itself shows that nothing is left to do.
            wanted, found = step.body.get("spec") or {}, document.get("spec") or {}
            return bool(wanted) and wanted.items() <= found.items()
        annotations = metadata.get("annotations") or {}
        return bool(step.done_if) and all(annotations.get(name) == value for name, value in step.done_if.items())


def _lack(step: Step) -> str:
    """The missing configuration for this kind of step."""
    if isinstance(step, HttpStep):
        return "no sender is configured for this step"
    return NO_DATABASE if isinstance(step, SqlStep) else NO_ORCHESTRATOR


def _sum(results: Sequence[SendOutcome]) -> SendOutcome:
    """One answer for a plan whose steps all arrived."""
    if results and all(sent.result is SendResult.ALREADY_DONE for sent in results):
        return results[-1]
    details = "; ".join(sent.detail for sent in results if sent.detail)
    last = results[-1] if results else SendOutcome(SendResult.DONE)
    return replace(last, result=SendResult.DONE, detail=details)
