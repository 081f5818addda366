from __future__ import annotations

from exporter.postgres_views import (
    VIEWS,
    read_applications,
    read_archiver,
    read_connections,
    read_replay,
    read_replication,
    read_tables,
)
from tests.fakes.sources import samples, value


def test_lag_is_absent_without_a_replica_and_known_with_one():
    assert samples(read_replication([{"replicas": 0, "lag": None}])) == {"controlcore_postgres_replicas": {(): 0}}
    families = read_replication([{"replicas": 2, "lag": 1.5}])
    assert value(families, "controlcore_postgres_replication_lag_seconds") == 1.5


def test_lag_that_is_hidden_is_absent():
    assert samples(read_replication([{"replicas": 1, "lag": None}])) == {"controlcore_postgres_replicas": {(): 1}}


def test_primary_has_no_replay_lag():
    assert read_replay([{"lag": None}]) == []


def test_server_without_archiving_publishes_nothing_of_it():
    assert read_archiver([]) == []


def test_empty_table_has_no_ratio():
    families = read_tables([{"table": "audit_logs", "ratio": None, "dead_rows": 0, "bytes": 8192, "last_vacuum": None}])
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
