"""A person's approval or rejection of the plan of a remediation in mode `approve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import ControlCoreError
from remediations.core.model.acts import Actor
from remediations.core.model.facts import Approval
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import Record
from remediations.core.model.stored import describe_difference, plan_hash, plan_to_data, resource_version
from remediations.journal.port import Journal

PROPOSAL = "proposal"
"""Key of the waiting plan in a decision's record."""
DEFAULT_SECONDS = 900.0
MAX_SECONDS = 86400.0


class AnswerError(ControlCoreError):
    """A person's request is invalid; the message says why. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """A person's answer to a plan."""

    actor: Actor
    is_approved: bool
    plan_hash: str = ""
    """The full hash of the plan that the person saw. If it is empty, the waiting plan is rejected; an approval needs
    it.
    """
    seconds: float = DEFAULT_SECONDS
    """How long the answer is valid."""


def proposal_data(plan: Plan) -> dict[str, Any]:
    """The waiting plan, with what an approval must name."""
    return {
        "plan": plan_to_data(plan),
        "plan_hash": plan_hash(plan),
        "resource_version": resource_version(plan),
        "difference": describe_difference(plan),
    }


def find_proposal(records: Sequence[Record]) -> Mapping[str, Any] | None:
    """The waiting plan; None if the newest decision does not wait for a person."""
    decisions = [record.data for record in records if record.kind == "decision"]
    found: Mapping[str, Any] | None = decisions[-1].get(PROPOSAL) if decisions else None
    return found


async def give_answer(journal: Journal, remediation_id: str, answer: ApprovalAnswer, now: float) -> Approval:
    """Stores the answer, bound to the plan's hash and the object's resourceVersion.

    Raises KeyError for an unknown remediation, AnswerError if no such plan waits, JournalError.
    """
    remediation, records = await journal.story(remediation_id)
    proposal = find_proposal(records)
    if proposal is None:
        raise AnswerError(f"no plan of {remediation.id} waits for approval (state {remediation.state.value})")
    _require_same(str(proposal["plan_hash"]), answer)
    if not answer.actor.name and not answer.actor.claimed:
        raise AnswerError("an answer needs the name of the person who gives it")
    if not 0 < answer.seconds <= MAX_SECONDS:
        raise AnswerError(f"an answer is valid for at most {MAX_SECONDS:g} s")
    approval = Approval(
        remediation=remediation.id,
        plan_hash=str(proposal["plan_hash"]),
        resource_version=str(proposal["resource_version"]),
        by=answer.actor.label,
        at=now,
        expires_at=now + answer.seconds,
        is_approved=answer.is_approved,
    )
    await journal.answer(approval, answer.actor, now)
    return approval


def _require_same(waiting: str, answer: ApprovalAnswer) -> None:
    """Raises AnswerError unless the answer names the waiting plan by its full hash."""
    wanted = answer.plan_hash.lower()
    if not wanted and not answer.is_approved:
        return
    if len(wanted) < len(waiting):
        raise AnswerError(f"name the plan that you have read by its full hash of {len(waiting)} characters")
    if wanted != waiting:
        raise AnswerError("the pending plan is no longer the one that you named: read the new plan first")
