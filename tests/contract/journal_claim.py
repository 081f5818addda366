"""The contract of every journal for claims: leases, fences, and the right to change."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remediations.core.model.errors import AlreadyServedError, FenceLostError, TargetBusyError
from remediations.core.model.remediation import IN_FLIGHT, State
from remediations.journal.port import Journal
from tests.contract.journal_opening import API, BOUNCER, T0, Opening, change, delivery, match


class ClaimContract(Opening):
    """A worker holds one remediation for a while, and a worker that lost it changes nothing."""

    async def test_claim_turns_received_and_held_into_claimed(self, journal: Journal) -> None:
        await self.begin(journal)
        claim = await self.claim(journal)
        assert (claim.remediation.state, claim.fence, claim.lease_until) == (State.CLAIMED, 1, T0 + 10)
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(releases=True))
        again = await self.claim(journal)
        assert (again.remediation.state, again.fence) == (State.CLAIMED, 2)

    async def test_claimed_remediation_is_claimed_by_nobody_else(self, journal: Journal) -> None:
        await self.begin(journal)
        await self.claim(journal)
        assert await journal.claim("two", T0 + 9, 10) is None

    @pytest.mark.parametrize("state", sorted(IN_FLIGHT | {State.CLAIMED}))
    async def test_lease_that_ran_out_is_claimed_in_its_state_with_a_higher_fence(
        self, journal: Journal, state: State
    ) -> None:
        claim = await self.bring_to(journal, state)
        again = await self.claim(journal, T0 + 10, "two")
        assert again.remediation.id == claim.remediation.id
        assert (again.remediation.state, again.fence > claim.fence) == (state, True)

    async def test_claim_gives_what_has_waited_longest(self, journal: Journal) -> None:
        later = await journal.append(delivery(match("later"), at=T0 + 5))
        earlier = await journal.append(delivery(match("earlier"), at=T0 + 1))
        claims = [await self.claim(journal, T0 + 9), await self.claim(journal, T0 + 9)]
        assert [claim.remediation.id for claim in claims] == [*earlier.opened, *later.opened]

    async def test_remediation_is_not_claimed_before_it_is_due(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(next_at=T0 + 15, releases=True))
        assert await journal.claim("one", T0 + 14.9, 10) is None
        assert await journal.claim("one", T0 + 15, 10) is not None

    async def test_closed_remediation_is_never_claimed(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.EXPIRED, T0, change())
        assert await journal.claim("one", T0 + 1e6, 10) is None

    async def test_renewed_lease_keeps_others_away(self, journal: Journal) -> None:
        await self.begin(journal)
        claim = await journal.renew(await self.claim(journal), T0 + 5, 10)
        assert claim.lease_until == T0 + 15
        assert await journal.claim("two", T0 + 14, 10) is None

    async def test_lease_that_ran_out_cannot_be_renewed(self, journal: Journal) -> None:
        await self.begin(journal)
        claim = await self.claim(journal)
        with pytest.raises(FenceLostError):
            await journal.renew(claim, T0 + 10, 10)

    async def test_older_fence_changes_nothing(self, journal: Journal) -> None:
        await self.begin(journal)
        old = await self.claim(journal)
        new = await self.claim(journal, T0 + 10, "two")
        before = await journal.story(old.remediation.id)
        for attempt in (
            journal.advance(old, State.CLAIMED, State.PLANNED, T0 + 10, change()),
            journal.append_record(old, T0 + 10, change().record),
            journal.renew(old, T0 + 10, 10),
        ):
            with pytest.raises(FenceLostError):
                await attempt
        assert await journal.story(old.remediation.id) == before
        await journal.advance(new, State.CLAIMED, State.PLANNED, T0 + 11, change())

    async def test_lease_that_ran_out_changes_nothing_even_when_nobody_else_claimed(self, journal: Journal) -> None:
        await self.begin(journal)
        claim = await self.claim(journal)
        with pytest.raises(FenceLostError):
            await journal.advance(claim, State.CLAIMED, State.PLANNED, T0 + 10, change())
        with pytest.raises(FenceLostError):
            await journal.append_record(claim, T0 + 10, change().record)

    async def test_released_claim_changes_nothing(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(releases=True))
        with pytest.raises(FenceLostError):
            await journal.append_record(claim, T0 + 1, change().record)

    async def test_closing_releases(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        closed = await journal.advance(claim, State.VERIFYING, State.SUCCEEDED, T0, change())
        assert closed.lease_until is None
        with pytest.raises(FenceLostError):
            await journal.append_record(claim, T0 + 1, change().record)

    async def test_second_remediation_in_flight_on_a_target_is_refused(self, journal: Journal) -> None:
        await self.begin(journal, match("restart-api"), match("scale-api"))
        first, second = await self.claim(journal), await self.claim(journal, worker="two")
        await journal.advance(first, State.CLAIMED, State.PLANNED, T0, change())
        with pytest.raises(TargetBusyError):
            await journal.advance(second, State.CLAIMED, State.PLANNED, T0, change())
        assert (await journal.story(second.remediation.id))[0].state is State.CLAIMED
        assert await journal.in_flight(API, other_than=second.remediation.id) == [first.remediation.id]
        assert await journal.in_flight(API, other_than=first.remediation.id) == []

    async def test_target_is_free_again_when_the_first_has_closed(self, journal: Journal) -> None:
        await self.begin(journal, match("restart-api"), match("scale-api"))
        first, second = await self.claim(journal), await self.claim(journal, worker="two")
        for before, after in (
            (State.CLAIMED, State.PLANNED),
            (State.PLANNED, State.WRITING),
            (State.WRITING, State.FAILED),
        ):
            await journal.advance(first, before, after, T0, change())
        assert (await journal.advance(second, State.CLAIMED, State.PLANNED, T0, change())).state is State.PLANNED

    async def test_other_target_is_not_busy(self, journal: Journal) -> None:
        await self.begin(journal, match(), match(target=BOUNCER))
        first, second = await self.claim(journal), await self.claim(journal, worker="two")
        await journal.advance(first, State.CLAIMED, State.PLANNED, T0, change())
        assert (await journal.advance(second, State.CLAIMED, State.PLANNED, T0, change())).state is State.PLANNED

    # --- taking over from a process that has died

    async def test_claims_of_a_process_that_ended_are_taken_over_at_once(self, tmp_path: Path) -> None:
        async with self.open(tmp_path / "journal") as journal:
            await journal.release_orphaned_claims()
            await self.begin(journal)
            old = await self.claim(journal)
        async with self.open(tmp_path / "journal") as journal:
            assert await journal.release_orphaned_claims() == 1
            new = await self.claim(journal, T0 + 1, "two")
            assert (new.remediation.id, new.fence > old.fence) == (old.remediation.id, True)

    async def test_claims_of_a_process_that_lives_are_left_alone(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(self.open(tmp_path / "journal"))
            two = await stack.enter_async_context(self.open(tmp_path / "journal"))
            await one.release_orphaned_claims()
            await self.begin(one)
            claim = await self.claim(one)
            with pytest.raises(AlreadyServedError, match="already serves this journal"):
                await two.release_orphaned_claims()
            assert await two.claim("two", T0 + 1, 10) is None
            await one.advance(claim, State.CLAIMED, State.PLANNED, T0 + 1, change())

    async def test_claim_that_was_taken_over_changes_nothing_any_more(self, journal: Journal) -> None:
        """In case its earlier holder is still alive."""
        await self.begin(journal)
        old = await self.claim(journal)
        assert await journal.release_orphaned_claims() == 1
        with pytest.raises(FenceLostError):
            await journal.advance(old, State.CLAIMED, State.PLANNED, T0 + 1, change())
