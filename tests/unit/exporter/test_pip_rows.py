from __future__ import annotations

from exporter.pip_rows import read_connections, read_counts, read_overdue
from tests.fakes.sources import samples, value

ROW = {
    "id": 1,
    "name": "directory",
    "provider": "okta",
    "environment": "production",
    "health": "healthy",
    "sync_frequency": 300,
    "last_sync": 1_767_323_000.0,
    "token_expiry": 1_767_330_000.0,
}
HEALTHY = "controlcore_pip_connection_healthy"


def test_unknown_health_is_neither_healthy_nor_not():
    rows = [ROW, ROW | {"name": "b", "health": "unhealthy"}, ROW | {"name": "c", "health": "unknown"}]
    assert samples(read_connections(rows))[HEALTHY] == {
        ("directory", "okta", "production"): 1,
        ("b", "okta", "production"): 0,
    }


def test_nulls_and_infinite_times_are_absent():
    rows = [dict.fromkeys(ROW) | {"id": 1, "name": "a"}, ROW | {"last_sync": float("inf"), "token_expiry": None}]
    found = samples(read_connections(rows))
    assert set(found) == {HEALTHY, "controlcore_pip_sync_interval_seconds"}


def test_connections_of_the_same_name_are_told_apart():
    found = samples(read_connections([ROW, ROW | {"id": 2}]))[HEALTHY]
    assert {labels[0] for labels in found} == {"directory#1", "directory#2"}


def test_counts_fall_into_closed_sets_and_known_states_are_there_with_zero():
    family = read_counts(
        [
            {"environment": "production", "health": "healthy", "connections": 2},
            {"environment": None, "health": "odd", "connections": 1},
            {"environment": "sandbox", "health": None, "connections": 1},
        ]
    )
    name = "controlcore_pip_connections"
    assert value([family], name, "production", "healthy") == 2
    assert value([family], name, "production", "unhealthy") == 0
    assert value([family], name, "other", "other") == 1
    assert value([family], name, "sandbox", "unknown") == 1


def test_overdue_is_summed_by_environment():
    rows = [{"environment": name, "overdue": 1} for name in ("staging", None, "sandbox")]
    assert samples([read_overdue(rows)])["controlcore_pip_sync_overdue"] == {
        ("sandbox",): 1,
        ("production",): 0,
        ("other",): 2,
    }
