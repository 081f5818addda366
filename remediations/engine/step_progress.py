"""Progress of the steps of a plan that leave no mark on an object.

The start of such a step is in the journal before the step is sent. After a crash it counts as sent: it is unknown
whether it was, and sending it twice is worse than a verification that finds no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from remediations.core.model.plan import SendResult
from remediations.core.model.remediation import Record
from remediations.journal.lease import Lease

KIND = "step"
INTENT = "intent"
WRITE = "write"


class JournalledProgress:
    """Progress kept in the records of the remediation that a lease holds."""

    def __init__(self, lease: Lease, begun: Mapping[int, float] | None = None) -> None:
        self._lease = lease
        self._begun = dict(begun or {})

    def begun_at(self, index: int) -> float | None:
        """Unix seconds at which the step began; None when it has not."""
        return self._begun.get(index)

    async def begin(self, index: int) -> float:
        """Makes the start durable and returns until when the claim is ours; raises FenceLostError."""
        at = self._lease.now()
        await self._lease.append_record(KIND, {"index": index, "phase": "begun", "at": at})
        self._begun[index] = at
        return self._lease.until

    async def take_back(self, index: int, why: str) -> None:
        """Records that the step was certainly not sent."""
        await self._lease.append_record(KIND, {"index": index, "phase": "not_sent", "detail": why})
        self._begun.pop(index, None)


def was_sent(records: Iterable[Record]) -> bool:
    """Whether something was sent since the last intent, without an answer that shows the result.

    A process that died between its intent and the answer has left no such record: it may not have sent anything.
    """
    is_unknown = False
    for record in records:
        if record.kind == INTENT:
            is_unknown = False
        elif record.kind == WRITE and record.data.get("result") == SendResult.UNKNOWN.value:
            is_unknown = True
    return is_unknown


def read_progress(records: Iterable[Record]) -> dict[int, float]:
    """Step → when it started, for the plan that was intended last."""
    begun: dict[int, float] = {}
    for record in records:
        if record.kind == INTENT:
            begun = {}
        elif record.kind == KIND and record.data["phase"] == "begun":
            begun[int(record.data["index"])] = float(record.data["at"])
        elif record.kind == KIND:
            begun.pop(int(record.data["index"]), None)
    return begun
