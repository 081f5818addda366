"""The milestones of a remediation that matter to people, read from its records in the journal.

The same records give the same milestones in the same order, so a restarted process sends the same announcements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chassis.errors import quote_foreign
from chassis.output.redaction import remove_secrets
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import CLOSED, Record, Remediation, State
from remediations.core.policies.policy import Policy
from remediations.journal.approvals import PROPOSAL

MAX_TEXT = 500
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.UNVERIFIED})
ARRIVED = frozenset({"done", "already_done"})
"""`Sending` values of a write that reached its object."""


class MilestoneKind(StrEnum):
    """What happened."""

    PLANNED = "planned"
    """A plan will be executed, waits for a person, or remains a plan in modes observe and dry_run."""
    ACTED = "acted"
    HELD = "held"
    VERIFIED = "verified"
    FAILED = "failed"
    """The verdict was `failed` or `unverified`, with the reason."""


@dataclass(frozen=True, slots=True)
class Milestone:
    """One milestone, with its number within the remediation."""

    kind: MilestoneKind
    at: float
    reason: str
    """From a closed set: a HoldReason, `guards_passed`, `written`, or the closing reason."""
    detail: str
    """The reason as text that is safe to show."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One remediation now. `policy` None: it is no longer in the policy file."""

    remediation: Remediation
    policy: Policy | None
    moments: tuple[Milestone, ...]
    uid: str = ""
    """metadata.uid of the target in the newest decision; empty if unknown."""

    @property
    def is_listed(self) -> bool:
        """Whether the policy, or a rung of it, lists the target; otherwise the target is only named by an alert."""
        return self.policy is not None and self.policy.lists(self.remediation.target)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will happen."""
        return self.remediation.state in CLOSED


def make_timeline(remediation: Remediation, policy: Policy | None, records: Sequence[Record]) -> Timeline:
    """The remediation with its milestones, oldest first; a milestone that repeats the one before is left out."""
    moments: list[Milestone] = []
    for moment in _moments(records):
        if not moments or (moments[-1].kind, moments[-1].reason) != (moment.kind, moment.reason):
            moments.append(moment)
    return Timeline(remediation, policy, tuple(moments), _uid(records))


def _moments(records: Sequence[Record]) -> Iterator[Milestone]:
    """One milestone for each record that matters to people."""
    for record in records:
        data = record.data
        if record.kind == "decision" and data.get("decision") in {"hold", "act"}:
            yield _decided(record, data)
        elif record.kind == "write" and data.get("result") in ARRIVED and not data.get("dry_run"):
            yield _moment(MilestoneKind.ACTED, record, "written", data)
        if record.state in FINISHED:
            is_good = record.state is State.SUCCEEDED
            yield _moment(MilestoneKind.VERIFIED if is_good else MilestoneKind.FAILED, record, record.state.value, data)


def _decided(record: Record, data: Mapping[str, Any]) -> Milestone:
    """A decision: a hold that waits for a person counts as a plan, until the person has rejected it."""
    waits = bool(data.get(PROPOSAL)) and data.get("reason") != HoldReason.REJECTED
    is_plan = data.get("decision") == "act" or waits
    return _moment(MilestoneKind.PLANNED if is_plan else MilestoneKind.HELD, record, str(data.get("reason")), data)


def _moment(kind: MilestoneKind, record: Record, reason: str, data: Mapping[str, Any]) -> Milestone:
    """A milestone with text that is safe wherever it is shown."""
    return Milestone(kind, record.at, reason, harmless(str(data.get("detail") or "")))


def _uid(records: Sequence[Record]) -> str:
    """The target's uid in the newest facts that contain one: of the workload, or of the CronJob."""
    for record in reversed(records):
        facts = record.data.get("facts")
        if record.kind != "decision" or not isinstance(facts, Mapping):
            continue
        for found in (_at(facts, "workload", "value"), _at(facts, "sights", "cron_job")):
            if isinstance(found, Mapping) and isinstance(found.get("uid"), str):
                return str(found["uid"])
    return ""


def _at(data: Any, *names: str) -> Any:
    """The value at this place of the stored data; None without one."""
    for name in names:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def harmless(text: str, length: int = MAX_TEXT) -> str:
    """The text without control characters for terminals, chats or mails, cut; it may come from elsewhere."""
    kept = quote_foreign(text, remove_secrets, length)
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in kept)
    return plain.translate(_TAME)[:length]


_TAME = str.maketrans({"<": "(", ">": ")", "@": "(at)", "`": "'"})
"""Characters for markup or mentions in chats; our own texts do not need them."""
