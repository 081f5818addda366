from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason
from exporter.collectors.product_tables.watermark import (
    MAX_ID,
    MAX_JUMP,
    FollowedTable,
    RecentSpan,
    TableFollower,
    Watermark,
    read_table,
)
from exporter.collectors.product_tables.watermark import TABLE as TABLE_QUERY
from exporter.items import Loss, counting

TABLE = FollowedTable(16384, is_replica=False, columns=frozenset({"id", "event_type"}))


def test_missing_table_is_named():
    with pytest.raises(PermanentError, match="audit_logs") as caught:
        read_table("audit_logs", [], frozenset({"id"}))
    assert caught.value.reason is Reason.MISSING


def test_unreadable_column_is_named():
    row = {"oid": 1, "file": 1, "is_replica": False, "columns": ["id"], "all_columns": ["id", "event_type"]}
    with pytest.raises(PermanentError, match="event_type"):
        read_table("audit_logs", [row], frozenset({"id", "event_type"}))


class TestWatermark:
    def test_first_look_counts_nothing(self):
        watermark = Watermark(5.0)
        assert watermark.advance(TABLE, 100, 0.0) is None
        assert watermark.advance(TABLE, 100, 1000.0) is None

    def test_lower_id_that_commits_late_is_in_the_span(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(TABLE, 102, 1.0) is None
        assert watermark.advance(TABLE, 104, 6.0) == (100, 102)
        watermark.confirm(102)
        assert watermark.advance(TABLE, 104, 11.0) == (102, 104)

    def test_purge_of_old_rows_changes_nothing(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        watermark.advance(TABLE, None, 10.0)
        watermark.advance(TABLE, 101, 20.0)
        assert watermark.advance(TABLE, 101, 30.0) == (100, 101)

    def test_replaced_table_is_not_counted_even_when_it_holds_more_rows(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        restored = FollowedTable(20000, is_replica=False, columns=TABLE.columns)
        assert watermark.advance(restored, None, 10.0) is None
        assert watermark.advance(restored, 900, 20.0) is None
        assert watermark.advance(restored, 900, 30.0) is None
        watermark.advance(restored, 901, 40.0)
        assert watermark.advance(restored, 901, 50.0) == (900, 901)

    def test_truncated_table_is_not_counted_even_when_it_holds_more_rows(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        truncated = FollowedTable(TABLE.oid, is_replica=False, columns=TABLE.columns, file=TABLE.file + 1)
        assert watermark.advance(truncated, 900, 10.0) is None
        assert watermark.advance(truncated, 900, 20.0) is None
        watermark.advance(truncated, 901, 30.0)
        assert watermark.advance(truncated, 901, 40.0) == (900, 901)

    def test_ids_that_begin_anew_are_counted_from_where_they_are_seen(self):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(TABLE, 3, 10.0) is None
        watermark.advance(TABLE, 5, 20.0)
        assert watermark.advance(TABLE, 5, 30.0) == (3, 5)

    def test_first_rows_of_a_table_that_was_seen_empty_are_counted(self):
        """P12: the first row ever of a history was not counted."""
        watermark = Watermark(5.0)
        watermark.advance(TABLE, None, 0.0)
        assert watermark.advance(TABLE, 1, 10.0) is None
        assert watermark.advance(TABLE, 2, 20.0) == (0, 1)
        watermark.confirm(1)
        assert watermark.advance(TABLE, 2, 30.0) == (1, 2)

    @pytest.mark.parametrize("highest", [101, 900])
    def test_many_rows_together_in_an_empty_table_are_a_restored_backup(self, highest):
        watermark = Watermark(5.0)
        watermark.advance(TABLE, None, 0.0)
        assert watermark.advance(TABLE, highest, 10.0) is None
        assert watermark.advance(TABLE, highest, 20.0) is None

    def test_replica_that_falls_behind_and_catches_up_counts_nothing_twice(self):
        replica = FollowedTable(16384, is_replica=True, columns=TABLE.columns)
        watermark = Watermark(5.0)
        watermark.advance(TABLE, 100, 0.0)
        assert watermark.advance(replica, 90, 10.0) is None
        assert watermark.advance(replica, 100, 20.0) is None
        assert watermark.advance(replica, 100, 30.0) is None

    @given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 50)), st.floats(0, 20), st.booleans()), max_size=40))
    def test_no_id_is_ever_counted_twice_while_ids_only_grow(self, looks):
        watermark, now, highest = Watermark(5.0), 0.0, 0
        start: int | None = None
        counted: list[int] = []
        for step, seconds, is_answered in looks:
            now += seconds
            highest += step or 0
            start = highest if start is None else start
            span = watermark.advance(TABLE, highest, now)
            if span is not None and is_answered:
                counted += range(span[0] + 1, span[1] + 1)
                watermark.confirm(span[1])
        assert counted == list(range((start or 0) + 1, (start or 0) + 1 + len(counted)))

    def test_memory_does_not_grow_while_nothing_happens(self):
        watermark = Watermark(5.0)
        for second in range(1000):
            watermark.advance(TABLE, 100, float(second))
        assert len(watermark._seen) == 0

    def test_backlog_is_counted_in_bounded_steps(self):
        watermark = Watermark(0.0, max_ids=10)
        watermark.advance(TABLE, 100, 0.0)
        spans = []
        for second in range(1, 5):
            span = watermark.advance(TABLE, 125, float(second))
            if span is not None:
                spans.append(span)
                watermark.confirm(span[1])
        assert spans == [(100, 110), (110, 120), (120, 125)]


class Rows:
    """A table of these ids, as the queries of a follower see it."""

    def __init__(self, *ids: int) -> None:
        self.ids = list(ids)
        self.file = 1

    async def fetch(self, sql: str, *arguments: object) -> list[dict[str, object]]:
        if sql == TABLE_QUERY:
            columns = ["id"]
            return [{"oid": 1, "file": self.file, "is_replica": False, "columns": columns, "all_columns": columns}]
        (limit,) = arguments or (2**63,)
        assert isinstance(limit, int)
        return [{"highest": max((number for number in self.ids if number <= limit), default=None)}]


class TestStrayId:
    """An id far beyond all others made the watermark walk past the sequence: no later row was counted."""

    @pytest.mark.parametrize("stray", [100 + MAX_JUMP + 1, MAX_ID + 1, 2**63 - 1])
    async def test_rows_beside_it_are_counted(self, stray: int):
        rows, follower = Rows(100), TableFollower("audit_logs", frozenset(), Watermark(5.0))
        await follower.look(rows.fetch, 0.0)
        rows.ids += [101, stray]
        with counting() as losses:
            assert (await follower.look(rows.fetch, 10.0)).highest == 101
            look = await follower.look(rows.fetch, 20.0)
        assert look.span == (100, 101)
        assert losses.dropped == {Loss.NUMBER: 2}

    async def test_sequence_that_comes_nearer_does_not_make_it_possible(self):
        rows, follower = Rows(100), TableFollower("audit_logs", frozenset(), Watermark(5.0))
        await follower.look(rows.fetch, 0.0)
        rows.ids.append(100 + MAX_JUMP + 5)
        for second in range(1, 5):
            rows.ids.append(100 + 10 * second)
            assert (await follower.look(rows.fetch, float(second))).highest == 100 + 10 * second
        rows.ids.remove(100 + MAX_JUMP + 5)
        await follower.look(rows.fetch, 20.0)
        rows.ids.append(150 + MAX_JUMP // 2)
        with counting() as losses:
            await follower.look(rows.fetch, 30.0)
        assert not losses.dropped

    @pytest.mark.parametrize("file", [1, 2])
    async def test_one_that_was_there_before_is_not_followed(self, file: int):
        """At the start, and in a table that was restored."""
        rows, follower = Rows(100), TableFollower("audit_logs", frozenset(), Watermark(5.0))
        if file == 2:
            await follower.look(rows.fetch, 0.0)
        rows.ids, rows.file = [50, 2**63 - 1], file
        assert (await follower.look(rows.fetch, 10.0)).highest == 50
        rows.ids.append(51)
        await follower.look(rows.fetch, 20.0)
        assert (await follower.look(rows.fetch, 30.0)).span == (50, 51)

    async def test_table_of_nothing_else_is_empty(self):
        rows, follower = Rows(2**63 - 1), TableFollower("audit_logs", frozenset(), Watermark(5.0))
        assert (await follower.look(rows.fetch, 0.0)).highest is None

    async def test_backlog_is_no_stray(self):
        rows, follower = Rows(100), TableFollower("audit_logs", frozenset(), Watermark(5.0))
        await follower.look(rows.fetch, 0.0)
        rows.ids.append(100 + MAX_JUMP)
        with counting() as losses:
            assert (await follower.look(rows.fetch, 10.0)).highest == 100 + MAX_JUMP
        assert not losses.dropped


class TestRecentSpan:
    def test_first_search_is_bounded_and_the_next_sees_only_what_is_new(self):
        recent = RecentSpan(10)
        assert recent.next(100) == (90, 100)
        assert recent.next(100) == (90, 100), "the same until it was searched"
        recent.confirm(100)
        assert recent.next(103) == (100, 103)

    def test_ids_that_begin_anew_are_searched_again(self):
        recent = RecentSpan(10)
        recent.confirm(100)
        assert recent.next(4) == (0, 4)
