"""The contract of every journal for changes: allowed state transitions, and the stored data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chassis.errors import InvariantBroken
from remediations.core.model.errors import FenceLostError, JournalError, TargetBusyError
from remediations.core.model.remediation import CLOSED, TRANSITIONS, Record, State
from remediations.journal.port import FollowUp, Journal, StateChange
from tests.contract.journal_opening import API, PATHS, T0, Opening, change, match

FOLLOW = FollowUp(match("scale-api:revert"), T0 + 100, {"origin": "1"})


class ChangeContract(Opening):
    """The data that `advance` and `note` store."""

    async def test_every_transition_of_the_model_is_possible(self, tmp_path: Path) -> None:
        for number, before in enumerate(PATHS):
            for other, after in enumerate(sorted(TRANSITIONS[before])):
                if before is State.HELD:
                    continue  # left by claim alone
                async with self.open(tmp_path / f"{number}-{other}") as journal:
                    claim = await self.bring_to(journal, before)
                    assert (await journal.advance(claim, before, after, T0, change())).state is after

    @pytest.mark.parametrize("before", sorted(PATHS))
    async def test_no_other_transition_is_possible(self, journal: Journal, before: State) -> None:
        claim = await self.bring_to(journal, before)
        for after in set(State) - TRANSITIONS[before]:
            with pytest.raises(InvariantBroken):
                await journal.advance(claim, before, after, T0, change())
        assert (await journal.story(claim.remediation.id))[0].state is before

    @pytest.mark.parametrize("closed", sorted(CLOSED))
    async def test_closed_state_is_never_left(self, journal: Journal, closed: State) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        with pytest.raises(InvariantBroken):
            await journal.advance(claim, closed, State.CLAIMED, T0, change())

    async def test_other_state_than_expected_changes_nothing(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.PLANNED)
        with pytest.raises(JournalError, match="planned"):
            await journal.advance(claim, State.CLAIMED, State.HELD, T0, change())
        assert (await journal.story(claim.remediation.id))[0].state is State.PLANNED

    async def test_change_stores_what_it_names_and_keeps_the_rest(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        plan = {"action": "restart_workload", "steps": [{"body": {"metadata": {"uid": "u"}}}]}
        named = change(reason="acting", operation_id="op", plan=plan, next_at=T0 + 3, state=State.PLANNED)
        first = await journal.advance(claim, State.CLAIMED, State.PLANNED, T0, named)
        second = await journal.advance(
            claim, State.PLANNED, State.WRITING, T0 + 1, change(written_at=T0 + 1, is_attempt=True)
        )
        assert (first.reason, first.operation_id, first.plan, first.next_at) == ("acting", "op", plan, T0 + 3)
        assert (first.written_at, first.attempts) == (None, 0)
        assert (second.reason, second.operation_id, second.plan, second.next_at) == ("acting", "op", plan, T0 + 3)
        assert (second.written_at, second.attempts, second.updated_at) == (T0 + 1, 1, T0 + 1)
        assert second.lease_until == claim.lease_until

    async def test_record_is_stored_with_the_state(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        record = Record(T0 + 1, "decision", State.HELD, {"reason": "cooldown", "guards": [{"guard": "identity"}]})
        await journal.advance(claim, State.CLAIMED, State.HELD, T0 + 1, StateChange(record))
        remediation, records = await journal.story(claim.remediation.id)
        assert remediation.state is State.HELD
        assert [item.kind for item in records] == ["received", "claimed", "decision"]
        assert records[-1] == record

    async def test_note_appends_and_keeps_state_and_lease(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        await journal.append_record(
            claim, T0 + 1, Record(T0 + 1, "verification", State.VERIFYING, {"outcome": "pending"})
        )
        remediation, records = await journal.story(claim.remediation.id)
        assert (remediation.state, remediation.lease_until) == (State.VERIFYING, claim.lease_until)
        assert records[-1].data == {"outcome": "pending"}

    async def test_note_with_a_time_releases_until_then(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        await journal.append_record(claim, T0, Record(T0, "verification", State.VERIFYING), next_at=T0 + 2)
        assert await journal.claim("two", T0 + 1, 10) is None
        assert (await self.claim(journal, T0 + 2, "two")).remediation.state is State.VERIFYING

    async def test_several_moves_stand_together_with_a_record_of_each(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        extra = Record(T0, "evidence", State.WRITING, {"pods": []})
        moves = [
            (State.PLANNED, change(reason="acting", state=State.PLANNED)),
            (State.WRITING, change("intent", State.WRITING, written_at=T0 + 1, before=(extra,))),
        ]
        after = await journal.advance_through(claim, State.CLAIMED, moves, T0 + 1)
        remediation, records = await journal.story(claim.remediation.id)
        assert after == remediation
        assert (after.state, after.reason, after.written_at) == (State.WRITING, "acting", T0 + 1)
        assert [(item.kind, item.state) for item in records[-3:]] == [
            ("decision", State.PLANNED),
            ("evidence", State.WRITING),
            ("intent", State.WRITING),
        ]

    async def test_several_moves_of_which_one_is_refused_change_nothing(self, journal: Journal) -> None:
        await self.begin(journal, match("restart-api"), match("scale-api"))
        first, second = await self.claim(journal), await self.claim(journal, worker="two")
        moves = [(State.PLANNED, change()), (State.WRITING, change())]
        await journal.advance_through(first, State.CLAIMED, moves, T0)
        before = await journal.story(second.remediation.id)
        with pytest.raises(TargetBusyError):
            await journal.advance_through(second, State.CLAIMED, moves, T0)
        with pytest.raises(InvariantBroken):
            await journal.advance_through(second, State.CLAIMED, [*moves, (State.PLANNED, change())], T0)
        assert await journal.story(second.remediation.id) == before

    async def test_change_and_note_make_the_lease_last_when_asked(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        moved = await journal.advance(claim, State.CLAIMED, State.PLANNED, T0 + 5, change(lease_until=T0 + 15))
        assert moved.lease_until == T0 + 15
        await journal.append_record(claim, T0 + 14, change().record, lease_until=T0 + 24)
        assert await journal.claim("two", T0 + 23, 10) is None
        assert await journal.claim("two", T0 + 24, 10) is not None

    # --- what follows from a change

    async def follow(self, journal: Journal, follow: FollowUp, now: float = T0) -> None:
        """Closes a remediation, with something that begins then."""
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, now, change(follow=follow))

    async def test_follow_up_begins_with_the_change_and_waits_until_it_is_due(self, journal: Journal) -> None:
        await self.follow(journal, FOLLOW)
        follow, origin = await journal.listing()
        assert origin.state is State.NOT_NEEDED
        assert (follow.policy, follow.target, follow.alert) == ("scale-api:revert", API, FOLLOW.match.alert)
        assert (follow.state, follow.reason, follow.next_at) == (State.HELD, "scheduled", T0 + 100)
        _, records = await journal.story(follow.id)
        assert [(record.kind, record.data) for record in records] == [("scheduled", {"origin": "1"})]
        assert await journal.claim("one", T0 + 99, 10) is None
        claim = await journal.claim("one", T0 + 100, 10)
        assert claim is not None
        assert (claim.remediation.id, claim.remediation.state) == (follow.id, State.CLAIMED)

    async def test_change_that_is_refused_begins_nothing(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        stale = replace(claim, fence=claim.fence - 1)
        with pytest.raises(FenceLostError):
            await journal.advance(stale, State.CLAIMED, State.NOT_NEEDED, T0, change(follow=FOLLOW))
        assert len(await journal.listing()) == 1

    async def test_newer_follow_up_joins_the_open_one_and_puts_it_off(self, journal: Journal) -> None:
        await self.follow(journal, FOLLOW)
        await self.follow(journal, replace(FOLLOW, due_at=T0 + 300, data={"origin": "2"}))
        (follow,) = await journal.listing(only_open=True)
        assert follow.next_at == T0 + 300
        _, records = await journal.story(follow.id)
        assert [record.data["origin"] for record in records] == ["1", "2"]

    async def test_who_had_claimed_the_open_one_loses_it_to_the_newer(self, journal: Journal) -> None:
        """Its pending work has changed since it read the remediation."""
        await self.follow(journal, FOLLOW)
        claim = await journal.claim("one", T0 + 100, 10)
        assert claim is not None
        await self.follow(journal, replace(FOLLOW, due_at=T0 + 300), T0 + 1)
        with pytest.raises(FenceLostError):
            await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0 + 102, change())
        (follow,) = await journal.listing(only_open=True)
        assert (follow.state, follow.next_at, follow.lease_until) == (State.HELD, T0 + 300, None)

    async def test_follow_up_is_no_alert_that_arrived(self, journal: Journal) -> None:
        await self.follow(journal, FOLLOW)
        assert len(await journal.arrivals_since(0.0)) == 1
