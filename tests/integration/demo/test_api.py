"""Each endpoint of the control-plane API: its exact status and body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.demo.asking import Answer, ask

if TYPE_CHECKING:
    from tools.standin.running import StandIn

pytestmark = pytest.mark.timeout(60)


def log_in(standin: StandIn, username: str = "viewer") -> str:
    answer = ask(f"{standin.api_url}/auth/login", {"username": username, "password": f"stand-in-{username}"})
    assert answer.status == 200
    return str(answer.body["access_token"])


def query(standin: StandIn, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(standin.database_url) as connection:
        return connection.execute(statement.encode()).fetchall()


def last_audit_row(standin: StandIn) -> tuple[Any, ...]:
    (row,) = query(standin, 'SELECT event_type, outcome, "user", environment FROM audit_logs ORDER BY id DESC LIMIT 1')
    return row


def test_health_is_a_static_answer(quiet: StandIn) -> None:
    assert ask(f"{quiet.api_url}/health") == Answer(200, {"status": "healthy"})


def test_bouncer_pairs_come_from_the_database(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/opal/bouncer-pairs")
    sandbox = {"id": 1, "bouncer_id": "bouncer-sandbox", "name": "Sandbox bouncer", "status": "active"}
    sandbox |= {"environment": "sandbox", "is_connected": True}
    production = {"id": 2, "bouncer_id": "bouncer-production", "name": "Production bouncer", "status": "active"}
    production |= {"environment": "production", "is_connected": True}
    orders = {"resource_name": "orders", "sandbox_bouncer": sandbox, "production_bouncer": production, "has_pair": True}
    assert answer.status == 200
    assert answer.body["pairs"][0] == orders
    assert answer.body["paired_resources"] == 1
    assert answer.body["total_resources"] == len(answer.body["pairs"])


def test_bouncer_made_by_hand_has_no_bouncer_id(quiet: StandIn) -> None:
    """P1: POST /peps/ of the product writes a row whose bouncer_id is NULL."""
    body = {"name": "made by hand", "environment": "sandbox", "max_capacity": 100.0}
    made = ask(f"{quiet.api_url}/peps/", body, token=log_in(quiet)).body
    assert (made["bouncer_id"], made["last_heartbeat"], made["is_connected"]) == (None, None, False)
    assert query(quiet, "SELECT bouncer_id FROM peps ORDER BY id DESC LIMIT 1") == [(None,)]
    pairs = ask(f"{quiet.api_url}/opal/bouncer-pairs").body["pairs"]
    assert {"resource_name": "made by hand", "has_pair": False}.items() <= pairs[-1].items()
    assert last_audit_row(quiet) == ("PEP_DEPLOYED", "SUCCESS", "viewer", "sandbox")


def test_pip_health_is_degraded_with_a_healthy_redis(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/pip/health")
    assert (answer.status, answer.body["status"], answer.body["version"]) == (200, "degraded", "1.0.0")
    pools = answer.body["pools"]
    assert {name: pool["status"] for name, pool in pools.items()} == {
        "database": "unhealthy",
        "redis": "healthy",
        "http": "unhealthy",
    }
    assert isinstance(pools["redis"]["last_health_check"], float)
    assert set(answer.body) == {"status", "timestamp", "pools", "version"}


def test_cache_stats_count_the_attributes_in_redis(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/pip/cache/stats")
    assert answer.status == 200
    assert answer.body["connection_id"] is None
    assert set(answer.body["cache_stats"]) == {"total_keys", "encrypted_keys", "total_size_bytes", "total_size_mb"}


def test_scheduler_is_never_running(quiet: StandIn) -> None:
    names = [
        "total_jobs",
        "pending_jobs",
        "running_jobs",
        "successful_jobs",
        "failed_jobs",
        "total_runs",
        "total_errors",
    ]
    assert ask(f"{quiet.api_url}/pip/sync/scheduler-stats") == Answer(200, {"running": False} | dict.fromkeys(names, 0))


def test_linter_is_unhealthy_with_200(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/policies/rego-linter/health")
    assert (answer.status, answer.body["status"], answer.body["regal_available"]) == (200, "unhealthy", False)


def test_opal_health_is_a_static_200(quiet: StandIn) -> None:
    assert ask(f"{quiet.api_url}/opal/health").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/ready", "/status", "/api/v1/health", "/api/v1/policies"])
def test_path_of_the_documentation_does_not_exist(quiet: StandIn, path: str) -> None:
    assert ask(quiet.api_url + path) == Answer(404, {"detail": "Not Found"})


def test_dashboard_without_token_is_refused(quiet: StandIn) -> None:
    assert ask(f"{quiet.api_url}/dashboard/stats") == Answer(401, {"detail": "Not authenticated"})
    assert ask(f"{quiet.api_url}/dashboard/stats", token="forged") == Answer(
        401, {"detail": "Could not validate credentials"}
    )


def test_dashboard_with_token_has_its_twelve_figures(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/dashboard/stats", token=log_in(quiet))
    names = "totalPolicies activePolicies draftPolicies deployedPEPs operationalPEPs warningPEPs smartConnections"
    names += " activeConnections pendingConnections authDecisions24h allowedPercentage deniedPercentage"
    assert (answer.status, set(answer.body)) == (200, set(names.split()))
    assert (answer.body["totalPolicies"], answer.body["activePolicies"]) == (5, 3)
    assert answer.body["deployedPEPs"] == query(quiet, "SELECT count(*) FROM peps")[0][0]
    assert answer.body["allowedPercentage"] + answer.body["deniedPercentage"] == pytest.approx(100.0, abs=0.1)


def test_login_opens_a_session_and_leaves_an_audit_row(quiet: StandIn) -> None:
    statement = "SELECT active_sessions, (SELECT count(*) FROM user_sessions WHERE user_id = 2) FROM users WHERE id = 2"
    ((drifting, sessions),) = query(quiet, statement)
    log_in(quiet)
    assert query(quiet, statement) == [(drifting + 1, sessions + 1)]
    assert last_audit_row(quiet) == ("USER_LOGIN", "SUCCESS", "viewer", "sandbox")


def test_wrong_password_is_401_and_counted_in_the_audit_log(quiet: StandIn) -> None:
    answer = ask(f"{quiet.api_url}/auth/login", {"username": "viewer", "password": "wrong"})
    assert answer == Answer(401, {"detail": "Incorrect username or password"})
    assert last_audit_row(quiet) == ("USER_LOGIN_FAILED", "FAILURE", "viewer", "sandbox")


@pytest.mark.parametrize(
    ("resource", "decision", "event", "policy"),
    [("2", "PERMIT", "ACCESS_GRANTED", "canary"), ("9", "DENY", "ACCESS_DENIED", None)],
)
def test_decision_is_answered_and_written(
    quiet: StandIn, resource: str, decision: str, event: str, policy: str | None
) -> None:
    """The caller decides, not the user that the question names."""
    question = {"user": "somebody", "resource": resource, "action": "read", "context": {}}
    answer = ask(f"{quiet.api_url}/decisions/evaluate", question, token=log_in(quiet))
    assert (answer.status, answer.body["decision"], answer.body["policy_name"]) == (200, decision, policy)
    assert set(answer.body) == {"decision", "reason", "policy_name", "evaluation_time"}
    assert answer.body["evaluation_time"] > 0
    assert last_audit_row(quiet) == (event, decision, "viewer", "sandbox")


def test_decision_of_the_administrator_fails_after_a_false_permit(quiet: StandIn) -> None:
    question = {"user": "canary-deny", "resource": "canary-resource", "action": "read", "context": {}}
    answer = ask(f"{quiet.api_url}/decisions/evaluate", question, token=log_in(quiet, "admin"))
    assert answer == Answer(500, {"error": "Security check failed"})
    assert last_audit_row(quiet) == ("ACCESS_GRANTED", "PERMIT", "admin", "sandbox")


def test_body_that_is_no_json_is_422(quiet: StandIn) -> None:
    assert ask(f"{quiet.api_url}/auth/login", "no object").status == 422


def test_enumerations_are_stored_in_capitals(quiet: StandIn) -> None:
    statement = "SELECT DISTINCT status::text FROM pip_connections ORDER BY 1"
    assert query(quiet, statement) == [("ACTIVE",), ("INACTIVE",)]


def test_every_time_is_without_time_zone(quiet: StandIn) -> None:
    statement = (
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'timestamp "
    )
    assert query(quiet, f"{statement}with time zone'") == [(0,)]
    assert query(quiet, f"{statement}without time zone'")[0][0] > 20
