"""The contract of every journal for queries, pauses, people's answers and retention."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from remediations.core.model.alert import Quarantined, Target
from remediations.core.model.errors import FenceLostError, JournalError
from remediations.core.model.facts import Approval, BreakerReset, Pause
from remediations.core.model.remediation import Record, State
from remediations.journal.approvals import AnswerError
from remediations.journal.port import DecisionHistory, HistorySpan, Journal, RemediationFilter, StateChange
from tests.contract.journal_opening import API, BOUNCER, T0, Opening, change, delivery, match
from tests.fakes.decisions import SAM


class QuestionContract(Opening):
    """Queries, and people's answers."""

    async def test_unknown_id_has_no_story(self, journal: Journal) -> None:
        with pytest.raises(KeyError):
            await journal.story("nothing")

    async def test_listing_is_limited_and_may_leave_out_the_closed(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match("a"), match("b"), match("c")))
        claim = await self.claim(journal)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0, change())
        assert [item.id for item in await journal.listing(limit=2)] == [stored.opened[2], stored.opened[1]]
        open_ids = {item.id for item in await journal.listing(only_open=True)}
        assert open_ids == set(stored.opened) - {claim.remediation.id}

    async def test_actions_since_names_writes_only_newest_first(self, journal: Journal) -> None:
        await self.begin(journal, match("a"), match("b", BOUNCER), match("c", Target("x", "Deployment", "y")))
        for number in range(2):
            claim = await self.claim(journal)
            plan = {"action": "restart_workload"}
            await journal.advance(claim, State.CLAIMED, State.PLANNED, T0, change(plan=plan))
            await journal.advance(claim, State.PLANNED, State.WRITING, T0, change(written_at=T0 + number))
        actions = await journal.actions_since(T0)
        assert [(item.policy, item.written_at, item.action, item.state) for item in actions] == [
            ("b", T0 + 1, "restart_workload", State.WRITING),
            ("a", T0, "restart_workload", State.WRITING),
        ]
        assert [item.policy for item in await journal.actions_since(T0 + 0.5)] == ["b"]

    async def test_counts_name_every_state(self, journal: Journal) -> None:
        await self.begin(journal)
        counts = await journal.counts()
        assert set(counts) == set(State)
        assert {state: number for state, number in counts.items() if number} == {State.RECEIVED: 1}

    async def test_selection_lists_what_has_all_of_it(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.HELD)
        await journal.append(delivery(match("b:revert", BOUNCER), at=T0 + 10))
        selections = {
            RemediationFilter(policy="b"): ["b:revert"],
            RemediationFilter(target=API.key): ["restart-api"],
            RemediationFilter(target=BOUNCER.name): ["b:revert"],
            RemediationFilter(states=frozenset({State.HELD})): ["restart-api"],
            RemediationFilter(since=T0 + 5): ["b:revert"],
            RemediationFilter(reason="storm"): [],
            RemediationFilter(policy="b", target=API.key): [],
            RemediationFilter(is_rejected=True): [],
            RemediationFilter(is_rejected=False): ["b:revert", "restart-api"],
        }
        for selection, policies in selections.items():
            assert [item.policy for item in await journal.listing(selection=selection)] == policies
            assert await journal.count_listed(selection) == len(policies)
        name = claim.remediation.id
        for is_approved in (True, False, True):
            await journal.answer(Approval(name, "h", "1", "sam", T0, T0 + 9, is_approved), SAM, T0)
            rejected = await journal.listing(selection=RemediationFilter(is_rejected=True))
            assert [item.id for item in rejected] == ([] if is_approved else [name])

    async def test_newest_decision_is_told_where_there_is_one(self, journal: Journal) -> None:
        name = (await self.bring_to(journal, State.HELD)).remediation.id
        claim = await self.claim(journal, T0 + 20)
        newer = Record(T0 + 20, "decision", State.HELD, {"reason": "storm"})
        await journal.advance(claim, State.CLAIMED, State.HELD, T0 + 20, StateChange(newer))
        (new,) = (await journal.append(delivery(match("b", BOUNCER)))).opened
        assert await journal.newest_decisions([name, new]) == {name: newer}

    async def test_pause_is_in_force_until_resumed(self, journal: Journal) -> None:
        pause = Pause("maintenance", "sam", "moving racks", None)
        await journal.pause(pause, T0, SAM)
        assert await journal.pauses(T0 + 1e6) == [replace(pause, since=T0)]
        assert await journal.resume("maintenance", T0, SAM) is True
        assert await journal.pauses(T0) == []

    async def test_pause_of_a_policy_or_target_says_so_in_every_question(self, journal: Journal) -> None:
        one = Pause("a", "sam", "one", None, policy="restart-api", since=T0)
        other = Pause("b", "sam", "two", None, target=API.key, since=T0)
        await journal.pause(one, T0, SAM)
        await journal.pause(other, T0, SAM)
        assert await journal.pauses(T0) == [one, other]
        assert [(act.detail["policy"], act.detail["target"]) for act in await journal.acts(2)] == [
            ("", API.key),
            ("restart-api", ""),
        ]

    async def test_pause_ends_by_itself(self, journal: Journal) -> None:
        await journal.pause(Pause("short", "sam", "lunch", T0 + 60), T0, SAM)
        assert len(await journal.pauses(T0 + 59)) == 1
        assert await journal.pauses(T0 + 60) == []
        assert await journal.resume("short", T0 + 60, SAM) is False

    async def test_pause_of_the_same_name_is_replaced_and_others_stay(self, journal: Journal) -> None:
        await journal.pause(Pause("a", "sam", "one", T0 + 60), T0, SAM)
        await journal.pause(Pause("b", "kim", "two", None), T0, SAM)
        await journal.pause(Pause("a", "sam", "longer", T0 + 600), T0, SAM)
        assert [(item.name, item.until) for item in await journal.pauses(T0 + 300)] == [("a", T0 + 600), ("b", None)]

    async def test_pause_in_force_is_never_narrowed(self, journal: Journal) -> None:
        everything, narrow = Pause("a", "sam", "one", None), Pause("a", "kim", "two", None, policy="restart-api")
        await journal.pause(everything, T0, SAM)
        with pytest.raises(AnswerError, match="stops everything: resume it, or give another name"):
            await journal.pause(narrow, T0 + 1, SAM)
        assert [(item.scope, item.owner) for item in await journal.pauses(T0)] == [("everything", "sam")]
        assert len(await journal.acts(9)) == 1, "what was refused is no act"

    async def test_pause_of_everything_replaces_a_narrow_one(self, journal: Journal) -> None:
        await journal.pause(Pause("a", "sam", "one", None, policy="restart-api"), T0, SAM)
        await journal.pause(Pause("a", "kim", "stop", None), T0 + 1, SAM)
        assert [item.scope for item in await journal.pauses(T0 + 1)] == ["everything"]

    async def test_resuming_what_was_never_paused_is_false(self, journal: Journal) -> None:
        assert await journal.resume("nothing", T0, SAM) is False

    async def test_newest_answer_to_a_plan_counts_and_makes_it_due(self, journal: Journal) -> None:
        held = await self.bring_to(journal, State.HELD)
        await journal.claim("one", T0, 10)
        name = held.remediation.id
        assert await journal.approval(name) is None
        answers = [Approval(name, "hash", "7", "ann", T0 + n, T0 + 900, is_approved=n == 1) for n in (0, 1)]

        for answer in answers:
            await journal.answer(answer, SAM, T0 + 1)

        remediation, records = await journal.story(name)
        assert await journal.approval(name) == answers[1]
        assert remediation.next_at <= T0 + 1
        assert [item.kind for item in records][-2:] == ["rejected", "approved"]

    async def test_answer_to_what_is_unknown_or_closed_is_refused(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0, change())

        with pytest.raises(JournalError, match="closed"):
            await journal.answer(Approval(claim.remediation.id, "hash", "7", "ann", T0, T0 + 900), SAM, T0)
        with pytest.raises(KeyError):
            await journal.answer(Approval("nobody", "hash", "7", "ann", T0, T0 + 900), SAM, T0)

    async def test_breaker_that_was_closed_by_hand_is_remembered(self, journal: Journal) -> None:
        reset = BreakerReset("restart_workload", API.key, "ann", T0)

        await journal.reset_breaker(reset, SAM)

        assert list(await journal.breaker_resets(T0)) == [reset]
        assert list(await journal.breaker_resets(T0 + 1)) == []

    async def test_time_of_the_newest_entry_is_known(self, journal: Journal) -> None:
        assert await journal.last_entry_at() is None
        await self.deliver(journal, self.alike(), at=T0)

        assert await journal.last_entry_at() == T0

    async def test_forget_removes_what_closed_long_ago_and_nothing_else(self, journal: Journal) -> None:
        await journal.append(delivery(match("a"), match("b"), quarantined=(Quarantined("p", "r"),)))
        claim = await self.claim(journal)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0 + 5, change())
        assert await journal.prune(T0 + 5) == 0
        assert await journal.prune(T0 + 86400) == 1
        assert [item.policy for item in await journal.listing()] == ["b"]
        assert (await journal.counts())[State.QUARANTINED] == 0
        with pytest.raises(KeyError):
            await journal.story(claim.remediation.id)

    async def test_check_succeeds_and_changes_nothing_that_is_read(self, journal: Journal) -> None:
        await self.begin(journal)
        before = await journal.listing()
        await journal.check_integrity()
        await journal.check_integrity()
        assert await journal.listing() == before

    async def test_two_openings_at_once_share_claims_and_rules(self, tmp_path: Path) -> None:
        """A second process (the command line, or a pod that overlaps) sees the same truth and the same fences."""
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(self.open(tmp_path / "journal"))
            two = await stack.enter_async_context(self.open(tmp_path / "journal"))
            await self.begin(one)
            old = await self.claim(one)
            assert await two.claim("two", T0 + 1, 10) is None
            await self.claim(two, T0 + 10, "two")
            with pytest.raises(FenceLostError):
                await one.advance(old, State.CLAIMED, State.PLANNED, T0 + 10, change())

    async def test_recollection_is_what_each_question_says(self, journal: Journal) -> None:
        await journal.pause(Pause("night", "sam", "freeze", T0 + 60), T0, SAM)
        await self.begin(journal, match("a"), match("b"), match("c", BOUNCER))
        first, second = await self.claim(journal), await self.claim(journal, worker="two")
        await journal.answer(Approval(second.remediation.id, "hash", "7", "ann", T0, T0 + 900), SAM, T0)
        await journal.reset_breaker(BreakerReset("restart_workload", API.key, "ann", T0 + 1), SAM)
        plan = {"action": "restart_workload"}
        await journal.advance(first, State.CLAIMED, State.PLANNED, T0, change(plan=plan))
        await journal.advance(first, State.PLANNED, State.WRITING, T0, change(written_at=T0 + 1))

        found = await journal.recollect(second.remediation, T0 + 2, HistorySpan(T0, T0))

        assert list(found.pauses) == list(await journal.pauses(T0 + 2)) != []
        assert list(found.actions) == list(await journal.actions_since(T0)) != []
        assert list(found.in_flight) == [first.remediation.id]
        assert list(found.arrivals) == list(await journal.arrivals_since(T0)) != []
        assert found.approval == await journal.approval(second.remediation.id) is not None
        assert list(found.breaker_resets) == list(await journal.breaker_resets(T0)) != []
        later = await journal.recollect(first.remediation, T0 + 61, HistorySpan(T0 + 2, T0 + 2))
        assert later == DecisionHistory([], [], [], [], None, [])
