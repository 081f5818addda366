"""Rights, schema and bouncers: what is a finding, and how bad it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chassis.output.findings import Severity
from exporter.collectors import discover
from exporter.commands.doctor.database import (
    MAX_BOUNCERS,
    find_missing_columns,
    find_missing_grants,
    find_unknown_generation,
    find_unwatched,
)
from exporter.commands.doctor.rights import Column, Rights, wanted_columns

READ = Column("policies", "status", ("policies",), is_there=True, may_read=True)
KEPT = replace(READ, may_read=False)
GONE = Column("peps", "bouncer_id", ("bouncers",), is_there=False, may_read=False)
RIGHTS = Rights(
    "cc_exporter",
    "control_core_db",
    is_superuser=False,
    may_monitor=True,
    may_use_schema=True,
    monitors=("postgres",),
    columns=(READ,),
)


def test_every_column_of_the_grants_is_wanted() -> None:
    wanted = wanted_columns(discover())
    assert "policy_parity" in wanted["policies", "resource_id"]
    assert ("audit_logs", "timestamp") in wanted, "its quotes belong to SQL, not to the name"
    assert {table for table, _ in wanted} >= {"users", "user_sessions", "peps", "oauth_tokens"}


def test_all_rights_and_columns_are_no_finding() -> None:
    assert find_missing_grants(RIGHTS, frozenset({"policies"}), "g") == []
    assert find_missing_columns(RIGHTS, frozenset({"policies"}), "s", "psql -l") == []


@pytest.mark.parametrize(("hurt", "severity"), [({"policies"}, Severity.ERROR), ({"audit"}, Severity.WARNING)])
def test_missing_grant_is_an_error_when_it_stops_a_collector(hurt: set[str], severity: Severity) -> None:
    (finding,) = find_missing_grants(replace(RIGHTS, columns=(READ, KEPT, GONE)), frozenset(hurt), "g")
    assert finding.severity is severity
    assert finding.evidence == "policies: status"
    assert finding.remedy.startswith("controlcore-exporter grants --role cc_exporter --database control_core_db | psql")


def test_role_without_statistics_and_role_with_all_rights_are_warned_of() -> None:
    (monitor,) = find_missing_grants(replace(RIGHTS, may_monitor=False), frozenset(), "g")
    assert (monitor.severity, monitor.evidence) == (Severity.WARNING, "pg_monitor (postgres)")
    unused = replace(RIGHTS, may_monitor=False, monitors=())
    assert find_missing_grants(unused, frozenset(), "g") == []
    (superuser,) = find_missing_grants(replace(RIGHTS, is_superuser=True), frozenset(), "g")
    assert "superuser" in superuser.problem


def test_schema_that_may_not_be_used_is_a_missing_grant() -> None:
    (finding,) = find_missing_grants(replace(RIGHTS, may_use_schema=False), frozenset({"users"}), "g")
    assert (finding.severity, finding.evidence) == (Severity.ERROR, "schema public: USAGE")


def test_names_of_role_and_database_are_quoted_for_the_shell() -> None:
    rights = replace(RIGHTS, role="a b", columns=(KEPT,))
    assert "--role 'a b'" in find_missing_grants(rights, frozenset(), "g")[0].remedy


def test_missing_column_is_an_error_when_it_stops_a_collector() -> None:
    rights = replace(RIGHTS, columns=(READ, GONE))
    (stops,) = find_missing_columns(rights, frozenset({"bouncers"}), "s", "psql -l")
    assert (stops.severity, stops.evidence) == (Severity.ERROR, "peps: bouncer_id")
    assert "--no-collector.bouncers" in stops.remedy
    (leaves_out,) = find_missing_columns(rights, frozenset(), "s", "psql -l")
    assert leaves_out.severity is Severity.INFO


def test_database_without_any_table_is_another_one() -> None:
    (finding,) = find_missing_columns(replace(RIGHTS, columns=(GONE,)), frozenset(), "s", "psql -l")
    assert finding.remedy.startswith(
        "set database.url to the product's own database; list the databases with: psql -l\n"
    )


@pytest.mark.parametrize(("name", "count"), [("2025.10", 0), (None, 0), ("unknown", 1)])
def test_only_an_unknown_generation_is_told(name: str | None, count: int) -> None:
    assert len(find_unknown_generation(name, "s")) == count


def test_registered_bouncer_counts_while_it_is_heard_of() -> None:
    registered = {
        "known": ("production", 5.0),
        "new": ("sandbox", 5.0),
        "old": ("sandbox", 90_000.0),
        "never": ("sandbox", None),
    }
    (finding,) = find_unwatched(registered, ["known"], "b")
    assert finding.problem == "registered bouncers are not watched: new"
    assert '- {name: new, url: "http://HOST:8080", environment: sandbox}' in finding.remedy


def test_bouncer_without_an_environment_is_proposed_without_one() -> None:
    (found,) = find_unwatched({"new": (None, 5.0)}, [], "b")
    assert found.remedy.endswith('  - {name: new, url: "http://HOST:8080"}')


def test_configured_bouncer_that_never_registered_is_told() -> None:
    (finding,) = find_unwatched({"known": ("production", 5.0)}, ["known", "typo"], "b")
    assert "typo" in finding.problem
    assert finding.evidence == "peps.bouncer_id: known"


def test_bouncer_beyond_those_that_were_read_may_be_registered() -> None:
    registered = {f"b{number}": ("production", None) for number in range(MAX_BOUNCERS)}
    assert find_unwatched(registered, ["late"], "b") == []
