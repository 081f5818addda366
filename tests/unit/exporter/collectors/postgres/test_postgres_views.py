from __future__ import annotations

import pytest

from exporter.collectors.postgres.views import (
    VIEWS,
    read_applications,
    read_archiver,
    read_connections,
    read_replay,
    read_replication,
    read_tables,
)
from tests.fakes.sources import samples, value

NOW = 1_767_000_000.0
LAG, LINK = "controlcore_postgres_replication_lag_seconds", "controlcore_postgres_primary_link_up"
REPLICAS = "controlcore_postgres_replicas"
LINKED = {"is_replica": True, "hidden": False, "is_linked": True, "is_replayed": True, "replayed_at": None, "now": NOW}


@pytest.mark.parametrize(
    ("row", "replicas", "lag"),
    [
        ({"hidden": 0, "replicas": 0, "unmeasured": 0, "lag": None}, 0, None),
        ({"hidden": 0, "replicas": 2, "unmeasured": 0, "lag": 1.5}, 2, 1.5),
        ({"hidden": 0, "replicas": 2, "unmeasured": 1, "lag": 0.0}, 2, None),
        ({"hidden": 1, "replicas": 0, "unmeasured": 0, "lag": None}, None, None),
        ({"hidden": None, "replicas": None, "unmeasured": None, "lag": None}, None, None),
        ({}, None, None),
    ],
)
def test_lag_of_a_primary_is_the_slowest_replicas_or_unknown(row, replicas, lag):
    """X7: one replica whose lag is unknown may be the slowest."""
    families = read_replication([row])
    assert (value(families, REPLICAS), value(families, LAG)) == (replicas, lag)


@pytest.mark.parametrize(
    ("row", "link", "lag"),
    [
        ({}, 1, 0),
        ({"is_replayed": False, "replayed_at": NOW - 7}, 1, 7),
        ({"is_replayed": False, "replayed_at": NOW + 7}, 1, 0),
        ({"is_replayed": False, "replayed_at": NOW + 600}, 1, None),
        ({"is_replayed": False, "replayed_at": None}, 1, None),
        ({"is_linked": False}, 0, None),
        ({"is_linked": None}, 0, None),
        ({"is_linked": None, "hidden": True}, None, None),
        ({"is_replica": False}, None, None),
        ({"is_replica": None}, None, None),
    ],
)
def test_replica_has_a_lag_only_while_it_hears_from_its_primary(row, link, lag):
    """X7: a replica that is cut off has replayed everything that it received, which says nothing of its primary."""
    families = read_replay([LINKED | row])
    assert (value(families, LINK), value(families, LAG)) == (link, lag)


def test_archiving_in_the_future_is_unknown():
    row = {"archived_count": 1, "failed_count": 0, "last_archived": NOW + 3600, "last_failed": None, "now": NOW}
    assert set(samples(read_archiver([row]))) == {
        "controlcore_postgres_wal_archived_total",
        "controlcore_postgres_wal_archive_failures_total",
    }


def test_server_without_archiving_publishes_nothing_of_it():
    assert read_archiver([]) == []


def test_empty_table_has_no_ratio():
    families = read_tables(
        [{"table": "audit_logs", "ratio": None, "dead_rows": 0, "bytes": 8192, "last_vacuum": None, "now": NOW}]
    )
    assert "controlcore_postgres_dead_rows_ratio" not in samples(families)


def test_headroom_does_not_fall_below_zero():
    assert value(read_connections([{"headroom": -2}]), "controlcore_postgres_connections_headroom") == 0


def test_states_fall_into_a_closed_set():
    rows = [
        {"application": "other", "state": "idle in transaction (aborted)", "connections": 1},
        {"application": "other", "state": "of a later version", "connections": 2},
        {"application": "other", "state": "fastpath function call", "connections": 3},
        {"application": "control_plane", "state": "hidden", "connections": 4},
    ]
    assert samples(read_applications(rows))["controlcore_postgres_application_connections"] == {
        ("other", "idle_in_transaction_aborted"): 1,
        ("other", "other"): 5,
        ("control_plane", "hidden"): 4,
    }


def test_every_view_has_a_name_of_its_own():
    assert len({view.name for view in VIEWS}) == len(VIEWS)
