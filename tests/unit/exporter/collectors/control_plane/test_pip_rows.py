from __future__ import annotations

from exporter.collectors.control_plane.pip_rows import ContainerZone, read_counts, read_overdue
from exporter.collectors.control_plane.pip_rows import read_connections as read_with_zone
from tests.fakes.sources import samples, value

ROW = {
    "id": 1,
    "name": "directory",
    "provider": "okta",
    "environment": "production",
    "status": "active",
    "health": "healthy",
    "sync_frequency": 300,
    "last_sync_as_utc": 1_767_323_000.0,
    "last_sync": 1_767_323_000.0,
    "now": 1_767_323_060.0,
    "token_expiry": 1_767_330_000.0,
}
HEALTHY = "controlcore_pip_connection_healthy"


def read_connections(rows):
    return read_with_zone(rows, ContainerZone())


def test_unknown_health_is_neither_healthy_nor_not():
    rows = [ROW, ROW | {"name": "b", "health": "unhealthy"}, ROW | {"name": "c", "health": "unknown"}]
    assert samples(read_connections(rows))[HEALTHY] == {
        ("directory", "okta", "production"): 1,
        ("b", "okta", "production"): 0,
    }


def test_nulls_and_infinite_times_are_absent():
    rows = [
        dict.fromkeys(ROW) | {"id": 1, "name": "a", "now": 1.0},
        ROW | {"last_sync": float("inf"), "token_expiry": None},
    ]
    found = samples(read_connections(rows))
    assert set(found) == {HEALTHY, "controlcore_pip_sync_interval_seconds", "controlcore_pip_connection_status"}


def test_connection_that_is_not_active_is_shown_with_its_status():
    """P11: the product makes every connection PENDING, and an ERROR one was in no series."""
    rows = [
        ROW | {"id": number, "name": name, "status": name}
        for number, name in enumerate(("pending", "error", "inactive", "odd"))
    ]
    found = samples(read_connections(rows))
    assert {labels[0]: labels[-1] for labels in found["controlcore_pip_connection_status"]} == {
        "pending": "pending",
        "error": "error",
        "inactive": "inactive",
        "odd": "other",
    }
    assert {labels[0] for labels in found[HEALTHY]} == {"pending", "error", "odd"}, (
        "inactive is not expected to be well"
    )


def test_synchronisations_that_were_seen_to_end_correct_the_configured_zone():
    """X17: the container's zone is nine hours ahead of the configured one."""
    zone, hours = ContainerZone(), 9 * 3600.0
    before = [
        ROW | {"last_sync_as_utc": at + hours, "last_sync": at + hours, "now": at + 5}
        for at in (1e9, 1e9 + 300, 1e9 + 600)
    ]
    assert (
        value(
            read_with_zone(before[:1], zone),
            "controlcore_pip_last_sync_timestamp_seconds",
            "directory",
            "okta",
            "production",
        )
        is None
    )
    for row in before:
        zone.learn([row], 30.0)
    families = read_with_zone([before[-1]], zone)
    assert (
        value(families, "controlcore_pip_last_sync_timestamp_seconds", "directory", "okta", "production") == 1e9 + 600
    )
    assert zone.correction_seconds == -hours


def test_connections_of_the_same_name_are_told_apart():
    found = samples(read_connections([ROW, ROW | {"id": 2}]))[HEALTHY]
    assert {labels[0] for labels in found} == {"directory#1", "directory#2"}


def test_counts_fall_into_closed_sets_and_known_states_are_there_with_zero():
    family, by_status = read_counts(
        [
            {"environment": "production", "status": "active", "health": "healthy", "connections": 2},
            {"environment": None, "status": "odd", "health": "odd", "connections": 1},
            {"environment": "sandbox", "status": "error", "health": None, "connections": 1},
            {"environment": "both", "status": "inactive", "health": "healthy", "connections": 1},
        ]
    )
    statuses = "controlcore_pip_connections_by_status"
    assert value([by_status], statuses, "sandbox", "error") == 1
    assert value([by_status], statuses, "production", "error") == 0
    assert value([by_status], statuses, "production", "inactive") == 1
    assert value([by_status], statuses, "other", "other") == 1
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
