"""What every journal promises: an adapter's test file subclasses `JournalContract` and gives `open`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.errors import InvariantBroken
from remediations.circumstances import Approval, BreakerReset
from remediations.journal.port import (
    Change,
    Claim,
    Delivery,
    FenceLostError,
    Journal,
    JournalError,
    Match,
    Quarantined,
    Record,
    Stored,
    TargetBusyError,
)
from remediations.model import Alert, Pause, Target
from remediations.states import CLOSED, IN_FLIGHT, TRANSITIONS, State

T0 = 1_700_000_000.0
API = Target("control-core", "Deployment", "control-plane-api")
BOUNCER = Target("control-core", "Deployment", "bouncer")
LABELS = {"alertname": "ApiDown", "cluster": "demo"}
PATHS = {
    State.CLAIMED: (),
    State.HELD: (State.HELD,),
    State.PLANNED: (State.PLANNED,),
    State.WRITING: (State.PLANNED, State.WRITING),
    State.VERIFYING: (State.PLANNED, State.WRITING, State.VERIFYING),
}


def match(
    policy: str = "restart-api", target: Target = API, *, is_firing: bool = True, fingerprint: str = "f1"
) -> Match:
    return Match(
        Alert(fingerprint, "ApiDown", is_firing, LABELS, {"summary": "down"}, "2026-01-01T00:00:00Z"), policy, target
    )


def delivery(*matches: Match, at: float = T0, quarantined: tuple[Quarantined, ...] = ()) -> Delivery:
    return Delivery(at, matches, 0, quarantined)


def change(kind: str = "decision", state: State = State.HELD, **values: object) -> Change:
    return Change(Record(T0, kind, state, {"guards": ["identity"]}), **values)  # type: ignore[arg-type]


class JournalContract:
    """The promises of `remediations/journal/port.py`, one test each."""

    def open(self, place: Path) -> AbstractAsyncContextManager[Journal]:
        """The adapter under test, storing in (or under the name of) `place`; opened twice it finds the same data."""
        raise NotImplementedError

    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        async with self.open(tmp_path / "journal") as opened:
            yield opened

    async def begin(self, journal: Journal, *matches: Match) -> str:
        return (await journal.append(delivery(*(matches or (match(),))))).opened[0]

    async def claim(self, journal: Journal, now: float = T0, worker: str = "one") -> Claim:
        claim = await journal.claim(worker, now, 10)
        assert claim is not None
        return claim

    async def bring_to(self, journal: Journal, state: State) -> Claim:
        """A claimed remediation in this state."""
        await self.begin(journal)
        claim = await self.claim(journal)
        before = State.CLAIMED
        for after in PATHS[state]:
            await journal.advance(claim, before, after, T0, change(state=after))
            before = after
        return claim

    # --- append

    async def test_firing_alert_opens_a_remediation_as_received(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match()))
        remediation, records = await journal.story(stored.opened[0])
        assert (stored.joined, stored.resolved) == ((), ())
        assert (remediation.policy, remediation.target, remediation.state) == ("restart-api", API, State.RECEIVED)
        assert remediation.alert == match().alert
        assert (remediation.created_at, remediation.fence, remediation.lease_until) == (T0, 0, None)
        assert [record.kind for record in records] == ["received"]

    async def test_repeated_alert_joins_the_open_remediation(self, journal: Journal) -> None:
        first = await journal.append(delivery(match()))
        second = await journal.append(delivery(match(fingerprint="f2"), at=T0 + 60))
        assert (second.opened, second.joined) == ((), first.opened)
        assert len(await journal.listing()) == 1
        assert [record.kind for record in (await journal.story(first.opened[0]))[1]] == ["received", "joined"]

    async def test_same_alert_twice_in_one_delivery_opens_one(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match(), match(fingerprint="f2")))
        assert len(stored.opened) == 1
        assert len(await journal.listing()) == 1

    async def test_other_policy_or_other_target_opens_its_own(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match(), match("scale-api"), match(target=BOUNCER)))
        assert len(set(stored.opened)) == 3

    async def test_alert_after_the_end_opens_a_new_one(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0, change())
        stored = await journal.append(delivery(match(), at=T0 + 1))
        assert len(stored.opened) == 1
        assert stored.opened[0] > claim.remediation.id

    async def test_resolved_alert_marks_and_closes_nothing(self, journal: Journal) -> None:
        opened = await self.begin(journal)
        stored = await journal.append(delivery(match(is_firing=False), at=T0 + 1))
        remediation, records = await journal.story(opened)
        assert stored.resolved == (opened,)
        assert (remediation.state, remediation.is_resolved) == (State.RECEIVED, True)
        assert records[-1].kind == "resolved"

    async def test_resolved_alert_wakes_a_held_remediation(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(next_at=T0 + 900, releases=True))
        assert await journal.claim("one", T0 + 30, 10) is None
        await journal.append(delivery(match(is_firing=False), at=T0 + 30))
        assert await journal.claim("one", T0 + 30, 10) is not None

    async def test_resolved_alert_without_a_remediation_is_nothing(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match(is_firing=False)))
        assert (stored.opened, stored.joined, stored.resolved) == ((), (), ())
        assert await journal.listing() == []

    async def test_firing_again_takes_the_resolved_mark_away(self, journal: Journal) -> None:
        opened = await self.begin(journal)
        await journal.append(delivery(match(is_firing=False)))
        await journal.append(delivery(match()))
        assert (await journal.story(opened))[0].is_resolved is False

    async def test_quarantined_piece_is_kept_beside_its_neighbours(self, journal: Journal) -> None:
        stored = await journal.append(delivery(match(), quarantined=(Quarantined("no labels", '{"x": "\ud800"}'),)))
        assert len(stored.opened) == 1
        assert (await journal.counts())[State.QUARANTINED] == 1

    async def test_hostile_label_values_are_stored_as_they_are(self, journal: Journal) -> None:
        labels = {"a": "\x00\"'; DROP TABLE remediation; --", "b": "\ud800", "c": "\u202e" * 4000}
        target = Target("'; --", "Deployment", "\ud800\x00")
        stored = await journal.append(delivery(Match(Alert("f", "n", True, labels), "restart-api", target)))
        remediation, _ = await journal.story(stored.opened[0])
        assert remediation.alert.labels == labels

    async def test_stored_delivery_survives_closing_and_opening(self, tmp_path: Path) -> None:
        async with self.open(tmp_path / "journal") as journal:
            opened = await self.begin(journal)
        async with self.open(tmp_path / "journal") as journal:
            assert (await journal.story(opened))[0].alert == match().alert

    async def test_ids_sort_in_the_order_of_opening_even_when_the_clock_goes_back(self, journal: Journal) -> None:
        first = await journal.append(delivery(match("a"), match("b"), match("c")))
        second = await journal.append(delivery(match("d"), at=T0 - 3600))
        ids = [*first.opened, *second.opened]
        assert ids == sorted(ids)
        assert [item.id for item in await journal.listing()] == ids[::-1]

    # --- claim and lease

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

    # --- a worker that lost its claim changes nothing (I4)

    async def test_older_fence_changes_nothing(self, journal: Journal) -> None:
        await self.begin(journal)
        old = await self.claim(journal)
        new = await self.claim(journal, T0 + 10, "two")
        before = await journal.story(old.remediation.id)
        for attempt in (
            journal.advance(old, State.CLAIMED, State.PLANNED, T0 + 10, change()),
            journal.note(old, T0 + 10, change().record),
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
            await journal.note(claim, T0 + 10, change().record)

    async def test_released_claim_changes_nothing(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(releases=True))
        with pytest.raises(FenceLostError):
            await journal.note(claim, T0 + 1, change().record)

    async def test_closing_releases(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        closed = await journal.advance(claim, State.VERIFYING, State.SUCCEEDED, T0, change())
        assert closed.lease_until is None
        with pytest.raises(FenceLostError):
            await journal.note(claim, T0 + 1, change().record)

    # --- advance

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
        await journal.advance(claim, State.CLAIMED, State.HELD, T0 + 1, Change(record))
        remediation, records = await journal.story(claim.remediation.id)
        assert remediation.state is State.HELD
        assert [item.kind for item in records] == ["received", "claimed", "decision"]
        assert records[-1] == record

    # --- one in flight per target (I2)

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

    # --- note

    async def test_note_appends_and_keeps_state_and_lease(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        await journal.note(claim, T0 + 1, Record(T0 + 1, "verification", State.VERIFYING, {"outcome": "pending"}))
        remediation, records = await journal.story(claim.remediation.id)
        assert (remediation.state, remediation.lease_until) == (State.VERIFYING, claim.lease_until)
        assert records[-1].data == {"outcome": "pending"}

    async def test_note_with_a_time_releases_until_then(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.VERIFYING)
        await journal.note(claim, T0, Record(T0, "verification", State.VERIFYING), next_at=T0 + 2)
        assert await journal.claim("two", T0 + 1, 10) is None
        assert (await self.claim(journal, T0 + 2, "two")).remediation.state is State.VERIFYING

    # --- questions

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

    # --- pauses

    async def test_pause_is_in_force_until_resumed(self, journal: Journal) -> None:
        pause = Pause("maintenance", "sam", "moving racks", None)
        await journal.pause(pause, T0)
        assert await journal.pauses(T0 + 1e6) == [pause]
        assert await journal.resume("maintenance", T0) is True
        assert await journal.pauses(T0) == []

    async def test_pause_ends_by_itself(self, journal: Journal) -> None:
        await journal.pause(Pause("short", "sam", "lunch", T0 + 60), T0)
        assert len(await journal.pauses(T0 + 59)) == 1
        assert await journal.pauses(T0 + 60) == []
        assert await journal.resume("short", T0 + 60) is False

    async def test_pause_of_the_same_name_is_replaced_and_others_stay(self, journal: Journal) -> None:
        await journal.pause(Pause("a", "sam", "one", T0 + 60), T0)
        await journal.pause(Pause("b", "kim", "two", None), T0)
        await journal.pause(Pause("a", "sam", "longer", T0 + 600), T0)
        assert [(item.name, item.until) for item in await journal.pauses(T0 + 300)] == [("a", T0 + 600), ("b", None)]

    async def test_resuming_what_was_never_paused_is_false(self, journal: Journal) -> None:
        assert await journal.resume("nothing", T0) is False

    # --- retention and health

    async def test_forget_removes_what_closed_long_ago_and_nothing_else(self, journal: Journal) -> None:
        await journal.append(delivery(match("a"), match("b"), quarantined=(Quarantined("p", "r"),)))
        claim = await self.claim(journal)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0 + 5, change())
        assert await journal.forget(T0 + 5) == 0
        assert await journal.forget(T0 + 86400) == 1
        assert [item.policy for item in await journal.listing()] == ["b"]
        assert (await journal.counts())[State.QUARANTINED] == 0
        with pytest.raises(KeyError):
            await journal.story(claim.remediation.id)

    async def test_check_succeeds_and_changes_nothing_that_is_read(self, journal: Journal) -> None:
        await self.begin(journal)
        before = await journal.listing()
        await journal.check()
        await journal.check()
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

    def alike(self, content: str = "c1", *, is_firing: bool = True, policy: str = "restart-api") -> Match:
        return replace(match(policy, is_firing=is_firing), content=content)

    async def deliver(self, journal: Journal, *matches: Match, at: float) -> Stored:
        return await journal.append(replace(delivery(*matches, at=at), duplicate_seconds=60.0))

    async def closed_as(self, journal: Journal, state: State) -> None:
        claim = await self.claim(journal)
        await journal.advance(claim, State.CLAIMED, state, T0, change())

    async def test_second_delivery_after_a_result_begins_nothing_and_is_counted(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, State.DRY_RUN)

        again = await self.deliver(journal, self.alike(), at=T0 + 17)

        assert (again.opened, again.joined, again.duplicates) == ((), (), 1)

    async def test_second_delivery_after_its_time_begins_anew(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, State.DRY_RUN)

        assert len((await self.deliver(journal, self.alike(), at=T0 + 60)).opened) == 1

    async def test_second_delivery_after_the_clock_was_set_back_begins_anew(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, State.DRY_RUN)

        assert len((await self.deliver(journal, self.alike(), at=T0 - 3600)).opened) == 1

    @pytest.mark.parametrize("state", [State.NOT_NEEDED, State.EXPIRED])
    async def test_second_delivery_after_nothing_was_done_is_looked_at_again(
        self, journal: Journal, state: State
    ) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, state)

        assert len((await self.deliver(journal, self.alike(), at=T0 + 1)).opened) == 1

    async def test_alert_that_resolved_and_fires_again_is_a_new_one(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, State.DRY_RUN)
        await self.deliver(journal, self.alike(is_firing=False), at=T0 + 1)

        assert len((await self.deliver(journal, self.alike(), at=T0 + 2)).opened) == 1

    async def test_another_alert_beside_a_second_delivery_begins_anew(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(), at=T0)
        await self.closed_as(journal, State.DRY_RUN)

        stored = await self.deliver(journal, self.alike(), self.alike("c2"), at=T0 + 1)

        assert (len(stored.opened), stored.duplicates) == (1, 1)

    async def test_resolved_before_its_alert_was_ever_seen_keeps_nothing_from_beginning(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike(is_firing=False), at=T0)

        assert len((await self.deliver(journal, self.alike(), at=T0 + 1)).opened) == 1

    async def test_arrivals_count_each_new_alert_once(self, journal: Journal) -> None:
        await self.deliver(journal, self.alike("c1"), self.alike("c2"), at=T0)
        await self.deliver(journal, self.alike("c2"), self.alike("c3"), at=T0 + 1)

        assert list(await journal.arrivals_since(T0)) == [T0 + 1, T0, T0]
        assert list(await journal.arrivals_since(T0 + 0.5)) == [T0 + 1]

    async def test_newest_answer_to_a_plan_counts_and_makes_it_due(self, journal: Journal) -> None:
        held = await self.bring_to(journal, State.HELD)
        await journal.claim("one", T0, 10)
        name = held.remediation.id
        assert await journal.approval(name) is None
        answers = [Approval(name, "hash", "7", "ann", T0 + n, T0 + 900, is_approved=n == 1) for n in (0, 1)]

        for answer in answers:
            await journal.answer(answer, T0 + 1)

        remediation, records = await journal.story(name)
        assert await journal.approval(name) == answers[1]
        assert remediation.next_at <= T0 + 1
        assert [item.kind for item in records][-2:] == ["rejected", "approved"]

    async def test_answer_to_what_is_unknown_or_closed_is_refused(self, journal: Journal) -> None:
        claim = await self.bring_to(journal, State.CLAIMED)
        await journal.advance(claim, State.CLAIMED, State.NOT_NEEDED, T0, change())

        with pytest.raises(JournalError, match="closed"):
            await journal.answer(Approval(claim.remediation.id, "hash", "7", "ann", T0, T0 + 900), T0)
        with pytest.raises(KeyError):
            await journal.answer(Approval("nobody", "hash", "7", "ann", T0, T0 + 900), T0)

    async def test_breaker_that_was_closed_by_hand_is_remembered(self, journal: Journal) -> None:
        reset = BreakerReset("restart_workload", API.key, "ann", T0)

        await journal.reset_breaker(reset)

        assert list(await journal.breaker_resets(T0)) == [reset]
        assert list(await journal.breaker_resets(T0 + 1)) == []

    async def test_time_of_the_newest_entry_is_known(self, journal: Journal) -> None:
        assert await journal.last_entry_at() is None
        await self.deliver(journal, self.alike(), at=T0)

        assert await journal.last_entry_at() == T0
