from __future__ import annotations

import pytest

from remediations.core.model.acts import Actor, ActSource
from remediations.core.model.alert import Delivery, Match
from remediations.core.model.plan import PatchStep, Plan
from remediations.core.model.remediation import Record, State
from remediations.core.model.stored import plan_hash, resource_version
from remediations.journal.approvals import AnswerError, ApprovalAnswer, find_proposal, give_answer, proposal_data
from remediations.journal.port import Journal, StateChange
from remediations.journal.sqlite.adapter import open_journal
from tests.fakes.decisions import API, NOW, an_alert

PLAN = Plan(
    "restart_workload",
    API,
    "op-1",
    "Restart it",
    (PatchStep("/apis/x", "merge", {"metadata": {"resourceVersion": "7"}, "spec": {"a": 1}}, {}),),
    {},
    {},
)


ANN = Actor(ActSource.USER, "ann")


@pytest.fixture
async def journal(tmp_path):
    async with open_journal(tmp_path / "journal.db") as opened:
        yield opened


async def waiting(journal: Journal, *decisions: dict[str, object]) -> str:
    """A held remediation with these decisions, the newest last."""
    (name,) = (await journal.append(Delivery(NOW, (Match(an_alert(), "restart-api", API),)))).opened
    for number, data in enumerate(decisions):
        claim = await journal.claim("one", NOW + number, 0.5)
        assert claim is not None
        change = StateChange(Record(NOW + number, "decision", State.HELD, data), next_at=NOW + number)
        await journal.advance(claim, State.CLAIMED, State.HELD, NOW + number, change)
    return name


async def test_answer_is_bound_to_the_plan_that_waits(journal):
    name = await waiting(journal, {"proposal": proposal_data(PLAN)})

    given = await give_answer(journal, name, ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN)), NOW)

    assert given == await journal.approval(name)
    assert (given.plan_hash, given.resource_version) == (plan_hash(PLAN), resource_version(PLAN))
    assert given.by == "ann"
    assert given.expires_at == NOW + 900


@pytest.mark.parametrize(
    "answer",
    [
        ApprovalAnswer(ANN, is_approved=True, plan_hash="0" * 64),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=""),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN)[:8]),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN)[:-1]),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN) + "0"),
        ApprovalAnswer(ANN, is_approved=False, plan_hash=plan_hash(PLAN)[:8]),
        ApprovalAnswer(Actor(ActSource.COMMAND_LINE), is_approved=True, plan_hash=plan_hash(PLAN)),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN), seconds=0),
        ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN), seconds=86401),
    ],
)
async def test_answer_to_another_plan_by_nobody_or_for_ever_is_refused(journal, answer):
    """S6: eight characters of the hash, or all but one, approve nothing."""
    name = await waiting(journal, {"proposal": proposal_data(PLAN)})

    with pytest.raises(AnswerError):
        await give_answer(journal, name, answer, NOW)
    assert await journal.approval(name) is None


async def test_plan_that_waited_before_the_newest_decision_cannot_be_approved(journal):
    name = await waiting(journal, {"proposal": proposal_data(PLAN)}, {"reason": "cooldown"})

    with pytest.raises(AnswerError, match="waits for approval"):
        await give_answer(journal, name, ApprovalAnswer(ANN, is_approved=True, plan_hash=plan_hash(PLAN)), NOW)


def test_without_a_decision_no_plan_waits():
    assert find_proposal([Record(NOW, "received", State.RECEIVED)]) is None
