"""The only writer. Sends the steps of a plan, each with its preconditions, while the claim is still ours.

A write is never sent again on a doubt: the object is looked at, and carries the operation id or does not.

- A plan in dry run is sent with dryRun=All: the server checks rights, admission and preconditions, and stores nothing.
- 409, and 422 on metadata.uid, mean that the object is not the one that was judged. If it already carries the
  operation id the step is done; otherwise facts are gathered and decided anew.
- No answer (time-out, reset, 5xx) means unknown: only a look at the object can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chassis.clock import Clock
from chassis.errors import BackendError, ConflictError, PermanentError, Reason, TransientError
from chassis.kubernetes import JsonObject, PatchKind
from remediations.cluster import ClusterApi
from remediations.journal.port import FenceLostError
from remediations.model import FIELD_MANAGER, Plan, Step

KINDS = {"strategic": PatchKind.STRATEGIC, "merge": PatchKind.MERGE}


class Sending(StrEnum):
    """What became of sending a plan."""

    DONE = "done"
    """Every step was accepted."""
    ALREADY_DONE = "already_done"
    """The object carried the operation id before: an earlier process had sent it."""
    CHANGED = "changed"
    """The object changed since it was judged; nothing of the refused step was stored."""
    REFUSED = "refused"
    """The server will not have it until somebody changes something (rights, admission, validation)."""
    UNKNOWN = "unknown"
    """Nobody answered: it may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of sending, for the journal."""

    result: Sending
    detail: str = ""
    generation: int | None = None
    """metadata.generation of the last object written, as the server returned it."""


class Executor:
    """Carries out plans against one API server."""

    def __init__(self, api: ClusterApi, clock: Clock, timeout_seconds: float) -> None:
        self._api = api
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    async def dry_run(self, plan: Plan) -> Sent:
        """What the server would say to the plan; changes nothing."""
        return await self._send_all(plan, deadline=None)

    async def write(self, plan: Plan, lease_until: float) -> Sent:
        """Sends the plan. The caller holds the claim until `lease_until` (Unix seconds) and has journalled the intent.

        Raises FenceLostError before a step that could not be over within the lease.
        """
        return await self._send_all(plan, deadline=lease_until)

    async def find_out(self, plan: Plan) -> Sent:
        """Whether an earlier write of this plan arrived: ALREADY_DONE, CHANGED (it did not), or UNKNOWN."""
        try:
            for step in plan.steps:
                if not await self._is_done(step):
                    return Sent(Sending.CHANGED, "the object does not carry the operation id")
        except BackendError as error:
            is_gone = error.reason is Reason.MISSING
            return Sent(Sending.CHANGED if is_gone else Sending.UNKNOWN, f"{error.reason.value}: {error}")
        return Sent(Sending.ALREADY_DONE, f"the object carries {plan.operation_id}")

    async def _send_all(self, plan: Plan, *, deadline: float | None) -> Sent:
        """Every step in order; the first that is not accepted ends it."""
        results = []
        for step in plan.steps:
            sent = await self._send(step, deadline)
            if sent.result not in {Sending.DONE, Sending.ALREADY_DONE}:
                return sent
            results.append(sent)
        if results and all(sent.result is Sending.ALREADY_DONE for sent in results):
            return results[-1]
        return Sent(Sending.DONE, "", results[-1].generation if results else None)

    async def _send(self, step: Step, deadline: float | None) -> Sent:
        """One step. `deadline` None sends it as a dry run."""
        # No await between this check and the call: a claim that has run out meanwhile must not write.
        if deadline is not None and self._clock.now() + self._timeout_seconds > deadline:
            raise FenceLostError("the lease would run out before the write is answered")
        try:
            document = await self._api.patch(
                step.path,
                dict(step.body),
                kind=KINDS[step.patch],
                field_manager=FIELD_MANAGER,
                timeout_seconds=self._timeout_seconds,
                dry_run=deadline is None,
            )
        except TransientError as error:
            return Sent(Sending.UNKNOWN, f"{error.reason.value}: {error}")
        except PermanentError as error:
            result = Sending.CHANGED if isinstance(error, ConflictError) else Sending.REFUSED
            sent = Sent(result, f"{error.reason.value}: {error}")
            return sent if deadline is None else await self._look(step, sent)
        return Sent(Sending.DONE, "", _generation(document))

    async def _look(self, step: Step, refused: Sent) -> Sent:
        """The refusal, unless the object carries the operation id: then the step is done, whatever the answer said."""
        try:
            is_done = await self._is_done(step)
        except BackendError as error:
            return Sent(Sending.UNKNOWN, f"{refused.detail}; then {error.reason.value}: {error}")
        return Sent(Sending.ALREADY_DONE, "the object carries the operation id") if is_done else refused

    async def _is_done(self, step: Step) -> bool:
        """Whether the object carries what the step says it would leave; raises BackendError."""
        document = await self._api.get(step.path, timeout_seconds=self._timeout_seconds)
        annotations = (document.get("metadata") or {}).get("annotations") or {}
        return bool(step.done_if) and all(annotations.get(name) == value for name, value in step.done_if.items())


def _generation(document: JsonObject) -> int | None:
    """metadata.generation, where the object has one."""
    value = (document.get("metadata") or {}).get("generation")
    return value if isinstance(value, int) else None
