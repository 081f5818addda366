from __future__ import annotations

import re
from dataclasses import replace

import pytest

from exporter.__main__ import main
from exporter.collectors import discover
from exporter.commands import grants
from tests.fakes.collector import ScriptedCollector

LAMP, DOOR = (ScriptedCollector([]).spec(name) for name in ("lamp", "door"))
SELECT = "GRANT SELECT (id) ON lamps TO cc_exporter"


def test_role_gets_what_collectors_ask_for_and_each_once() -> None:
    specs = (replace(LAMP, grants=(SELECT,)), replace(DOOR, grants=(SELECT, "GRANT pg_monitor TO cc_exporter")))
    assert grants.statements(specs) == (
        "GRANT USAGE ON SCHEMA public TO cc_exporter",
        SELECT,
        "GRANT pg_monitor TO cc_exporter",
    )


def test_script_makes_the_role_first_and_names_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-grants"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("--")]
    assert lines[0] == "BEGIN;"
    assert "CREATE ROLE cc_exporter LOGIN;" in lines[1]
    assert (lines[2], lines[-1]) == ("GRANT CONNECT ON DATABASE control_core_db TO cc_exporter;", "COMMIT;")
    assert lines[3:-1] == [
        f"{line};" for line in grants.statements(discover()) if not line.startswith("GRANT CONNECT ON DATABASE")
    ]


def test_command_prints_chosen_collectors_for_another_role_and_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grants", "--collector", "users", "--role", "Mon itor", "--database", "cc"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("--")]
    assert lines == [
        "BEGIN;",
        'DO $role$ BEGIN CREATE ROLE "Mon itor" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $role$;',
        'GRANT CONNECT ON DATABASE cc TO "Mon itor";',
        'GRANT USAGE ON SCHEMA public TO "Mon itor";',
        'GRANT SELECT (user_id, expires_at, revoked) ON user_sessions TO "Mon itor";',
        "COMMIT;",
    ]


@pytest.mark.parametrize(
    "arguments",
    [["--collector", "no"], ["--role", ""], ["--role", "a\nb"], ["--database", "x" * 64], ["--role", "a$role$"]],
)
def test_command_refuses_what_it_cannot_write(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["grants", *arguments])
    assert capsys.readouterr().out == ""


def test_name_cannot_end_its_quotes() -> None:
    assert grants.identifier('a"; DROP TABLE users; --') == '"a""; DROP TABLE users; --"'


def test_no_collector_asks_for_a_whole_table_or_for_more_than_reading() -> None:
    for statement in grants.statements(discover()):
        assert statement.endswith(f" TO {grants.ROLE}")
        assert re.match(r"GRANT (SELECT \(|USAGE ON SCHEMA|CONNECT ON DATABASE|pg_monitor )", statement), statement
        assert not re.search(r"password_hash|access_token", statement)
