from __future__ import annotations

import pytest

from exporter.collectors.product_tables.sync_rows import count_syncs, read_bouncers, revision_skew, type_and_status

ROW = {
    "bouncer": "b",
    "environment": "production",
    "polling_interval": 30,
    "status": "success",
    "policies_count": 3,
    "last_sync": 1_767_323_000.0,
    "now": 1_767_323_060.0,
}


@pytest.mark.parametrize(
    ("status", "last_success", "has_failed"),
    [
        ("success", 1_767_323_000.0, False),
        ("failed", None, True),
        ("partial", None, True),
        ("in_progress", None, None),
        (None, None, None),
    ],
)
def test_status_says_whether_the_last_time_is_a_success(status, last_success, has_failed):
    bouncer = read_bouncers([ROW | {"status": status}])[0]
    assert (bouncer.last_success, bouncer.has_failed) == (last_success, has_failed)


@pytest.mark.parametrize(
    ("status", "count", "policies"),
    [
        (None, 0, None),
        ("in_progress", 0, None),
        ("failed", 0, None),
        ("success", 0, 0),
        ("failed", 3, 3),
        (None, None, None),
    ],
)
def test_default_of_a_column_is_no_fact(status, count, policies):
    """P12: policies_count is 0 before any synchronisation."""
    assert read_bouncers([ROW | {"status": status, "policies_count": count}])[0].policies == policies


def test_time_in_the_future_is_unknown():
    """X17."""
    assert read_bouncers([ROW | {"last_sync": ROW["now"] + 61}])[0].last_success is None


def test_mere_requests_are_no_synchronisations():
    ended, failed = {"b": 1}, {}
    rows = [("b", "success", 2), ("b", "triggered", 5), ("b", "failed", 1), ("c", "partial", 1), ("c", None, 1)]
    count_syncs([{"bouncer": name, "status": status, "syncs": syncs} for name, status, syncs in rows], ended, failed)
    assert (ended, failed) == ({"b": 4, "c": 2}, {"b": 1})


def test_unknown_types_and_statuses_fall_into_other():
    assert type_and_status("auto", "failed", ("auto",), ("failed",)) == ("auto", "failed")
    assert type_and_status("x" * 1000, None, ("auto",), ("failed",)) == ("other", "other")


def test_skew_is_counted_by_environment_and_unknown_without_a_revision():
    rows = [("a", "sandbox"), ("b", "production"), ("c", "production"), ("d", "staging")]
    bouncers = read_bouncers([ROW | {"bouncer": name, "environment": environment} for name, environment in rows])
    assert revision_skew(bouncers, {"a": "1", "b": "1", "c": "2", "d": None, "gone": "9"}) == {
        "sandbox": 0,
        "production": 1,
    }
