from __future__ import annotations

import re
from dataclasses import replace

import pytest

from exporter import grants
from exporter.__main__ import main
from exporter.collectors import discover
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
    assert lines[0] == "CREATE ROLE cc_exporter LOGIN;"
    assert lines[1:] == [f"{statement};" for statement in grants.statements(discover())]


def test_no_collector_asks_for_a_whole_table_or_for_more_than_reading() -> None:
    for statement in grants.statements(discover()):
        assert statement.endswith(f" TO {grants.ROLE}")
        assert re.match(r"GRANT (SELECT \(|USAGE ON SCHEMA|CONNECT ON DATABASE|pg_monitor )", statement), statement
        assert not re.search(r"password_hash|access_token", statement)
