"""The stand-in's behaviour when its real PostgreSQL or Redis is frozen, down, full or refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.fakes.waiting import wait_for
from tests.integration.demo.asking import Answer, ask
from tools.servers.postgres import PASSWORD, PostgresServer
from tools.servers.redis import RedisServer
from tools.standin import database, processes
from tools.standin.faults import datastore
from tools.standin.running import Options, running_standin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.standin.running import StandIn

pytestmark = pytest.mark.timeout(60)

ROLE = "controlcore"
BROKEN = Answer(500, {"error": "Security check failed"})


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[PostgresServer]:
    with PostgresServer(max_connections=30) as server:
        server.create_user(ROLE)
        yield server


@pytest.fixture(scope="module")
def fragile_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def url(fragile_postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the ordinary role, for one test."""
    name = f"outage_{abs(hash(request.node.name))}"
    fragile_postgres.run_sql(f'CREATE DATABASE "{name}" OWNER {ROLE}')
    yield fragile_postgres.dsn(ROLE, name)
    fragile_postgres.drop_database(name)


@pytest.fixture
def busy(url: str, fragile_redis: RedisServer) -> Iterator[StandIn]:
    """A stand-in whose users query the database continuously."""
    with running_standin(url, fragile_redis.url, Options(traffic_interval_seconds=0.05)) as standin:
        yield standin


def is_answered(base: str) -> bool:
    try:
        return ask(f"{base}/health").status == 200
    except OSError:
        return False


def count_decisions(url: str) -> int:
    with psycopg.connect(url) as connection:
        statement = "SELECT count(*) FROM audit_logs WHERE event_type IN ('ACCESS_GRANTED', 'ACCESS_DENIED')"
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_frozen_database_hangs_health_until_it_thaws(busy: StandIn, fragile_postgres: PostgresServer) -> None:
    """The users' blocking query holds the event loop, so the static endpoint hangs too."""
    assert is_answered(busy.api_url)
    with datastore.frozen(fragile_postgres):
        wait_for(lambda: not is_answered(busy.api_url))
        assert busy.look("api")["component"] == "api"  # the admin route has its own thread
        assert is_answered(busy.bouncers["bouncer-sandbox"])
    wait_for(lambda: is_answered(busy.api_url))


def test_stopped_database_leaves_health_and_breaks_the_deep_probe(
    busy: StandIn, fragile_postgres: PostgresServer
) -> None:
    with datastore.stopped(fragile_postgres):
        assert ask(f"{busy.api_url}/opal/bouncer-pairs") == BROKEN
        assert ask(f"{busy.api_url}/health") == Answer(200, {"status": "healthy"})
    wait_for(lambda: ask(f"{busy.api_url}/opal/bouncer-pairs").status == 200)


def test_database_down_at_boot_ends_the_api_with_1(url: str, fragile_postgres: PostgresServer) -> None:
    with datastore.stopped(fragile_postgres), pytest.raises(processes.StartFailedError, match="ended with status 1"):
        processes.start("api", ["--database-url", url, "--redis-url", "redis://127.0.0.1:1/0"])


def test_role_that_may_not_log_in_keeps_its_connections(busy: StandIn, fragile_postgres: PostgresServer) -> None:
    with datastore.login_forbidden(fragile_postgres.dsn(), ROLE):
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            psycopg.connect(busy.database_url)
        assert ask(f"{busy.api_url}/opal/bouncer-pairs").status == 200
    psycopg.connect(busy.database_url).close()


def test_used_up_connections_refuse_new_ones_only(busy: StandIn) -> None:
    with datastore.connections_used_up(busy.database_url) as hoarded:
        assert hoarded > 10
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(busy.database_url)
        assert datastore.is_exhausted(refused.value)
        assert ask(f"{busy.api_url}/opal/bouncer-pairs").status == 200
    psycopg.connect(busy.database_url).close()


def test_stopped_redis_is_a_200_with_the_error_inside(busy: StandIn, fragile_redis: RedisServer) -> None:
    with datastore.stopped(fragile_redis):
        answer = ask(f"{busy.api_url}/pip/cache/stats")
        assert (answer.status, answer.body["connection_id"]) == (200, None)
        assert answer.body["cache_stats"]["error"].startswith("Error 111 ")
        health = ask(f"{busy.api_url}/pip/health").body
        # The product checks its pools once a minute: in between it repeats the last result.
        assert (health["status"], health["pools"]["redis"]["status"]) == ("degraded", "healthy")
        assert is_answered(busy.api_url)
    wait_for(lambda: "total_keys" in ask(f"{busy.api_url}/pip/cache/stats").body["cache_stats"])


def test_users_write_decisions_and_sessions(busy: StandIn) -> None:
    before = count_decisions(busy.database_url)
    wait_for(lambda: count_decisions(busy.database_url) > before + 3)
    with psycopg.connect(busy.database_url) as connection:
        statement = "SELECT count(*) FROM user_sessions WHERE token_hash NOT LIKE 'seed%'"
        wait_for(lambda: connection.execute(statement.encode()).fetchone() != (0,))


def test_drop_tables_at_start_wipes_every_row(url: str, fragile_redis: RedisServer) -> None:
    database.install_schema(url)
    assert count_decisions(url) == 2
    arguments = ["--database-url", url, "--redis-url", fragile_redis.url, "--traffic-interval", "0"]
    processes.start("api", arguments).end()
    assert count_decisions(url) == 2
    processes.start("api", [*arguments, "--drop-tables"]).end()
    assert count_decisions(url) == 0


def test_password_of_another_role_is_of_no_use(busy: StandIn) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(busy.database_url.replace(PASSWORD, "wrong"))
