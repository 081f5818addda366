"""Compares the stand-in with observations of the real product: its tables, and its answers in each situation."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.fakes.product_facts import differences, read_facts
from tests.integration.demo.asking import ask
from tools.servers.postgres import PostgresServer
from tools.servers.redis import RedisServer
from tools.standin import database as standin_database
from tools.standin import processes
from tools.standin.faults.datastore import stopped
from tools.standin.running import Options, StandIn, running_standin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(60)

TABLES = read_facts("tables")
ENDPOINTS = read_facts("endpoints")
PROGRAMS = {"bouncer": "bouncer-sandbox"}
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY 1, a.attnum
"""
KEYS = """
SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('f', 'u')
UNION ALL
SELECT tablename, 'u', indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%UNIQUE%'
"""
ENUMERATIONS = """
SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY 1
"""


def requests_in(program: str, situation: str | None) -> list[Any]:
    """The observed requests to a program in one situation, as test parameters."""
    facts = [fact for fact in ENDPOINTS[program] if fact.get("situation") == situation]
    return [pytest.param(program, fact, id=f"{program} {fact['path']} {fact['status']}") for fact in facts]


def assert_as_observed(standin: StandIn, program: str, fact: dict[str, Any]) -> None:
    token = fact.get("token")
    if token is not None and token != "forged":
        login = {"username": token, "password": f"stand-in-{token}"}
        token = ask(f"{standin.api_url}/auth/login", login).body["access_token"]
    url = standin.programs[PROGRAMS.get(program, program)].url
    answer = ask(url + fact["path"], fact.get("send"), token)
    assert (answer.status, differences(answer.body, fact["body"])) == (fact["status"], []), answer


@pytest.fixture(scope="module")
def own(make_database: Callable[[], str], redis_server: RedisServer) -> Iterator[StandIn]:
    """A stand-in for this file: some of the observed requests write."""
    with running_standin(make_database(), redis_server.url, Options(traffic_interval_seconds=0)) as standin:
        yield standin


@pytest.fixture
def tables(make_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    """A database with only the stand-in's tables, as schema.sql creates them."""
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((standin_database.SQL / "schema.sql").read_bytes())
        yield connection


def test_tables_have_the_products_columns_types_and_defaults(tables: psycopg.Connection) -> None:
    found: dict[str, list[Any]] = {}
    for table, *column in tables.execute(COLUMNS.encode()).fetchall():
        found.setdefault(table, []).append(tuple(column))
    expected = {
        table: [(name, fact["type"], fact["nullable"], fact.get("default")) for name, fact in facts["columns"].items()]
        for table, facts in TABLES["tables"].items()
    }
    assert found == expected


def test_tables_have_the_products_keys_and_enumerations(tables: psycopg.Connection) -> None:
    rows = tables.execute(KEYS.encode()).fetchall()
    for table, facts in TABLES["tables"].items():
        references = {definition for name, kind, definition in rows if (name, kind) == (table, "f")}
        targets = [(column, *target.split(".")) for column, target in facts.get("references", {}).items()]
        assert references == {f"FOREIGN KEY ({column}) REFERENCES {other}({key})" for column, other, key in targets}
        unique = {text.rpartition("(")[2].rstrip(")") for name, kind, text in rows if (name, kind) == (table, "u")}
        assert unique - {"id"} == set(facts.get("unique", [])), table
    found = {name: tuple(members) for name, members in tables.execute(ENUMERATIONS.encode()).fetchall()}
    assert found == {name: tuple(members) for name, members in TABLES["enumerations"].items()}


def test_what_the_products_code_writes_is_written_here_too(tables: psycopg.Connection) -> None:
    """A row without a value for a column gets the product's default; every other column stays empty."""
    tables.execute((standin_database.SQL / "written.sql").read_bytes())
    found = {
        (table, name): (text or "").partition("::")[0].strip("'")
        for table, name, _, _, text in tables.execute(COLUMNS.encode()).fetchall()
        if text is not None and not text.startswith("nextval")
    }
    written = {
        (table, name): fact["written"]
        for table, facts in TABLES["tables"].items()
        for name, fact in facts["columns"].items()
        if "written" in fact
    }
    assert found == {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in written.items()
    }


@pytest.mark.parametrize(("program", "fact"), [each for program in ENDPOINTS for each in requests_in(program, None)])
def test_healthy_program_answers_as_the_product(own: StandIn, program: str, fact: dict[str, Any]) -> None:
    assert_as_observed(own, program, fact)


@pytest.mark.parametrize(("program", "fact"), requests_in("opal-client", "not_loaded"))
def test_client_without_its_policies_answers_as_opal(healed: StandIn, program: str, fact: dict[str, Any]) -> None:
    healed.fault("opal-client", "engine_error")
    assert_as_observed(healed, program, fact)


@pytest.mark.parametrize(("program", "fact"), requests_in("opal-server", "statistics"))
def test_server_with_statistics_answers_as_opal(quiet: StandIn, program: str, fact: dict[str, Any]) -> None:
    server = processes.start("opal", ["--role", "server", "--statistics"])
    try:
        assert_as_observed(StandIn("", "", programs={program: server}), program, fact)
    finally:
        server.end()


@pytest.mark.parametrize(("tells", "clients"), [(True, 1), (False, 0)])
def test_client_counts_only_with_statistics_of_its_own(*, tells: bool, clients: int) -> None:
    """P9: with statistics on the server alone no client is counted, and its two connections are listed all the same."""
    server = processes.start(
        "opal", ["--role", "server", "--statistics", *([] if tells else ["--clients-do-not-count"])]
    )
    try:
        assert ask(f"{server.url}/stats").body["client_count"] == clients
        assert len(ask(f"{server.url}/pubsub_client_info").body) == 2
    finally:
        server.end()


def test_program_without_its_stores_answers_as_the_product(make_database: Callable[[], str]) -> None:
    with ExitStack() as stack:
        postgres, redis = stack.enter_context(PostgresServer()), stack.enter_context(RedisServer())
        url = postgres.create_database("control_core_db")
        standin = stack.enter_context(running_standin(url, redis.url, Options(traffic_interval_seconds=0)))
        for situation, server in (("redis_down", redis), ("database_down", postgres)):
            with stopped(server):
                for parameter in requests_in("api", situation):
                    assert_as_observed(standin, *parameter.values)
