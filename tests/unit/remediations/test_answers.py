from __future__ import annotations

import pytest

from remediations.answers import Answer, AnswerError, find_proposal, give_answer, proposal_data
from remediations.decision import Plan
from remediations.digest import plan_hash, resource_version
from remediations.journal.port import Change, Delivery, Journal, Match, Record
from remediations.journal.sqlite import open_journal
from remediations.states import State
from remediations.step import PatchStep
from tests.fakes.decisions import API, NOW, an_alert

PLAN = Plan(
    "restart_workload",
    API,
    "op-1",
    "Restart it",
    (PatchStep("/apis/x", "merge", {"metadata": {"resourceVersion": "7"}, "spec": {"a": 1}}, {}),),
    {},
)


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
        change = Change(Record(NOW + number, "decision", State.HELD, data), next_at=NOW + number)
        await journal.advance(claim, State.CLAIMED, State.HELD, NOW + number, change)
    return name


async def test_answer_is_bound_to_the_plan_that_waits(journal):
    name = await waiting(journal, {"proposal": proposal_data(PLAN)})

    given = await give_answer(journal, name, Answer("ann", is_approved=True, hash_start=plan_hash(PLAN)[:8]), NOW)

    assert given == await journal.approval(name)
    assert (given.plan_hash, given.resource_version) == (plan_hash(PLAN), resource_version(PLAN))
    assert given.by == "ann"
    assert given.expires_at == NOW + 900


@pytest.mark.parametrize(
    "answer",
    [
        Answer("ann", is_approved=True, hash_start="0000000000"),
        Answer("ann", is_approved=True, hash_start=plan_hash(PLAN)[:7]),
        Answer(" ", is_approved=True),
        Answer("ann", is_approved=True, seconds=0),
        Answer("ann", is_approved=True, seconds=86401),
    ],
)
async def test_answer_to_another_plan_by_nobody_or_for_ever_is_refused(journal, answer):
    name = await waiting(journal, {"proposal": proposal_data(PLAN)})

    with pytest.raises(AnswerError):
        await give_answer(journal, name, answer, NOW)
    assert await journal.approval(name) is None


async def test_plan_that_waited_before_the_newest_decision_cannot_be_approved(journal):
    name = await waiting(journal, {"proposal": proposal_data(PLAN)}, {"reason": "cooldown"})

    with pytest.raises(AnswerError, match="waits for approval"):
        await give_answer(journal, name, Answer("ann", is_approved=True), NOW)


def test_without_a_decision_no_plan_waits():
    assert find_proposal([Record(NOW, "received", State.RECEIVED)]) is None
