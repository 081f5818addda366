from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collector import NotConfiguredError
from exporter.collectors.product_tables.audit import AuditCollector, AuditSettings, Sweep
from tests.fakes.sources import FakeSql, expose, golden, make_sources, samples, value

COLUMNS = ["id", "timestamp", "event_type", "outcome"]
TABLE = {"oid": 7, "file": 1, "is_replica": False, "columns": COLUMNS, "all_columns": COLUMNS}
UNPARSEABLE = "controlcore_audit_unparseable_rows"


def answers(**more):
    return {
        "attname": [TABLE],
        "reltuples": [{"rows": 1234.0, "size_bytes": 8192}],
        "AS zone": [{"zone": "Etc/UTC"}],
        "min(id)": [edges_of(1, 120_000, 1_767_000_000.5)],
        "unparseable": [{"unparseable": 1}],
    } | more


async def collect(sql):
    async with AuditCollector.open(AuditSettings(), make_sources(postgres=sql)) as collector:
        return (await collector.collect()).families


def edges_of(lowest, highest, oldest):
    return {"lowest": lowest, "highest": highest, "as_utc": oldest, "oldest": oldest, "now": 1_767_323_000.0}


async def test_examined_log_gives_the_golden_page():
    sql = FakeSql(answers())
    assert expose(await collect(sql)) == golden("audit")
    assert [arguments[:2] for text, arguments in sql.asked if "unparseable" in text] == [
        (100_000, 150_000),
        (50_000, 100_000),
        (0, 50_000),
    ]


async def test_long_log_without_a_finding_is_unknown_until_it_was_read_once():
    edges = edges_of(1, 399_999, 1.0)
    sql = FakeSql(answers(**{"min(id)": [edges], "unparseable": [{"unparseable": 0}]}))
    async with AuditCollector.open(AuditSettings(), make_sources(postgres=sql)) as collector:
        found = [value((await collector.collect()).families, UNPARSEABLE) for _ in range(4)]
    assert found == [None, None, 0, 0]


async def test_finding_is_a_lower_bound_while_the_log_is_being_read():
    edges = edges_of(1, 10_000_000, 1.0)
    assert value(await collect(FakeSql(answers(**{"min(id)": [edges]}))), UNPARSEABLE) == 4


async def test_empty_log_has_no_unparseable_row_and_no_oldest():
    edges = edges_of(None, None, None)
    families = await collect(FakeSql(answers(**{"min(id)": [edges], "reltuples": [{"rows": None, "size_bytes": 1}]})))
    assert samples(families) == {UNPARSEABLE: {(): 0}, "controlcore_audit_log_bytes": {(): 1}}


async def test_column_that_is_renamed_is_a_failure_and_the_rest_is_there():
    """P12: the count was absent with success 1."""
    table = TABLE | {"columns": ["id", "timestamp", "event_type"], "all_columns": ["id", "timestamp", "event_type"]}
    sql = FakeSql(answers(attname=[table]))
    async with AuditCollector.open(AuditSettings(), make_sources(postgres=sql)) as collector:
        result = await collector.collect()
    found = samples(result.families)
    assert UNPARSEABLE not in found
    assert "controlcore_audit_log_bytes" in found
    assert (result.failure.reason, "outcome" in str(result.failure)) == (Reason.MISSING, True)


async def test_missing_table_is_named():
    with pytest.raises(PermanentError, match="audit_logs"):
        await collect(FakeSql(answers(attname=[])))


async def test_database_without_an_answer_raises_instead_of_publishing():
    with pytest.raises(TransientError):
        await collect(FakeSql(answers(reltuples=TransientError(Reason.TIMEOUT, "frozen"))))


class TestSweep:
    def test_newest_chunk_is_counted_every_time_and_the_others_in_turn(self):
        sweep = Sweep(10)
        seen = []
        for _ in range(4):
            spans = sweep.choose((1, 1), (0, 39), 2)
            for start, _end in spans:
                sweep.note(start, 0)
            seen.append([start for start, _ in spans])
        assert seen == [[30, 20], [30, 10], [30, 0], [30, 20]]

    def test_purged_rows_no_longer_count(self):
        sweep = Sweep(10)
        for start, _ in sweep.choose((1, 1), (0, 29), 3):
            sweep.note(start, 1)
        assert sweep.total() == 3
        sweep.choose((1, 1), (20, 29), 1)
        assert sweep.total() == 1

    def test_another_table_begins_anew(self):
        sweep = Sweep(10)
        for start, _ in sweep.choose((1, 1), (0, 9), 3):
            sweep.note(start, 5)
        sweep.choose((2, 1), (0, 9), 3)
        assert sweep.total() is None

    @given(
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=20),
        st.integers(1, 30),
        st.integers(2, 6),
    )
    def test_spans_never_repeat_within_a_budget_and_cover_the_log_in_time(self, edges, size, budget):
        sweep = Sweep(size)
        for low, length in edges:
            spans = sweep.choose((1, 1), (low, low + length), budget)
            assert len(set(spans)) == len(spans) <= budget
            for start, _ in spans:
                sweep.note(start, 0)
        low, length = edges[-1]
        for _ in range(length // size + 2):
            for start, _ in sweep.choose((1, 1), (low, low + length), budget):
                sweep.note(start, 0)
        assert sweep.total() == 0


async def test_no_database_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with AuditCollector.open(AuditSettings(), make_sources()):
            pass
