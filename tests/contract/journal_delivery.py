"""The contract of every journal for deliveries: which alerts begin, join, repeat or are quarantined."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediations.core.model.alert import Alert, Match, Quarantined, Target
from remediations.core.model.remediation import State
from remediations.journal.port import Journal
from tests.contract.journal_opening import API, BOUNCER, T0, Opening, change, delivery, match


class DeliveryContract(Opening):
    """What `append` does with what came."""

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
