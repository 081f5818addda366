"""A person's yes or no to the plan that a remediation in mode `approve` waits with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import ControlCoreError
from remediations import plan as plans
from remediations.circumstances import Approval
from remediations.decision import Plan
from remediations.digest import plan_hash, resource_version
from remediations.journal.port import Journal, Record

PROPOSAL = "proposal"
"""Key of a decision's record under which the plan stands that waits for approval."""
DEFAULT_SECONDS = 900.0
MAX_SECONDS = 86400.0
LEAST_HASH = 8
"""So many characters of a plan's hash are enough to name it."""
MAX_NAME = 200


class AnswerError(ControlCoreError):
    """Nothing can be approved or rejected like this; the message says why. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody says to a plan."""

    by: str
    is_approved: bool
    hash_start: str = ""
    """The beginning of the hash of the plan that was looked at; empty means the one that waits now."""
    seconds: float = DEFAULT_SECONDS
    """How long the answer holds."""


def proposal_data(plan: Plan) -> dict[str, Any]:
    """The plan that waits, with what an approval of it must name."""
    return {
        "plan": plans.to_data(plan),
        "plan_hash": plan_hash(plan),
        "resource_version": resource_version(plan),
        "difference": plans.describe_difference(plan),
    }


def find_proposal(records: Sequence[Record]) -> Mapping[str, Any] | None:
    """The plan that waits now; None when the newest decision waits for nobody."""
    decisions = [record.data for record in records if record.kind == "decision"]
    found: Mapping[str, Any] | None = decisions[-1].get(PROPOSAL) if decisions else None
    return found


async def give_answer(journal: Journal, remediation_id: str, answer: Answer, now: float) -> Approval:
    """Stores the answer, bound to the plan's hash and the object's resourceVersion.

    Raises KeyError for an unknown remediation, AnswerError when no such plan waits, JournalError.
    """
    remediation, records = await journal.story(remediation_id)
    proposal = find_proposal(records)
    if proposal is None:
        raise AnswerError(f"no plan of {remediation.id} waits for approval (state {remediation.state.value})")
    wanted = answer.hash_start.lower()
    if wanted and (len(wanted) < LEAST_HASH or not str(proposal["plan_hash"]).startswith(wanted)):
        raise AnswerError(f"another plan waits now: {str(proposal['plan_hash'])[:12]}, not {wanted[:64]}")
    if not answer.by.strip() or len(answer.by) > MAX_NAME:
        raise AnswerError("an answer needs the name of whoever gives it")
    if not 0 < answer.seconds <= MAX_SECONDS:
        raise AnswerError(f"an answer holds for at most {MAX_SECONDS:g} s")
    approval = Approval(
        remediation=remediation.id,
        plan_hash=str(proposal["plan_hash"]),
        resource_version=str(proposal["resource_version"]),
        by=answer.by.strip(),
        at=now,
        expires_at=now + answer.seconds,
        is_approved=answer.is_approved,
    )
    await journal.answer(approval, now)
    return approval
