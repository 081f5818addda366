"""The command line, in the process of the test; `serve` itself is tested as a process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.process.completion import SHELLS
from remediations.__main__ import main
from remediations.commands import arguments
from remediations.commands.arguments import MAX_DAYS
from remediations.commands.output import exit_codes
from remediations.core.decide import GUARDS
from remediations.core.model import remediation
from remediations.core.model.alert import Delivery, Match
from remediations.http.api import MAX_PAUSE_SECONDS
from remediations.journal.sqlite.adapter import open_journal
from remediations.shipped import read_policies
from tests.fakes.decisions import API, NOW, an_alert
from tools.slowness import scaled


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("a-token-of-the-test-0001")
    (tmp_path / "policies.yaml").write_text(read_policies())
    (tmp_path / "config.yaml").write_text(
        f"""
server: {{token_file: {tmp_path}/token}}
journal: {{path: {tmp_path}/journal.db}}
policies_file: {tmp_path}/policies.yaml
"""
    )
    return tmp_path / "config.yaml"


@pytest.fixture
def journal(tmp_path: Path) -> list[str]:
    """Two remediations; their ids."""

    async def fill() -> list[str]:
        async with open_journal(tmp_path / "journal.db") as opened:
            matches = (Match(an_alert(), "restart-api", API), Match(an_alert(), "scale-api", API))
            return list((await opened.append(Delivery(NOW, matches))).opened)

    return asyncio.run(fill())


def run(capsys: Any, config: Path | None, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    before = () if config is None else ("--config.file", str(config))
    with pytest.raises(SystemExit) as ended:
        main([*before, *arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def is_expected(warning: str) -> bool:
    """Whether every check reports it: placeholder addresses, and no Prometheus."""
    return "is a placeholder" in warning or "warning: PromQL is not checked: " in warning


def test_check_config_shows_what_would_be_in_force(capsys, config):
    status, out, err = run(capsys, config, "check-config")
    order = " ".join(out[out.index("guards, in the order") :].split())
    assert order.endswith(", ".join(guard.name for guard in GUARDS))

    assert (status, [line for line in err.splitlines() if not is_expected(line)]) == (0, [])
    assert "restart-api" in out
    assert "dry_run" in out


def test_doctor_examines_the_program_on_this_machine_without_an_option(capsys, config):
    status, out, err = run(capsys, config, "doctor")

    assert (status, err) == (1, "")
    assert re.search(r"\d+ checks: \d+ error", out)


def test_check_config_warns_of_addresses_that_nobody_has_given(capsys, config):
    """A warning: in dry run nothing is called, and the other policies are complete."""
    status, _, err = run(capsys, config, "check-config")

    assert status == 0
    assert "policies[8] (update-policies).parameters.url: http://opal-client.invalid:7000 is a placeholder" in err


def test_config_file_may_stand_behind_the_command(capsys, config):
    assert run(capsys, None, "check-config", "--config.file", str(config))[0] == 0


def test_usual_place_is_read_where_no_file_is_named(capsys, config, monkeypatch):
    monkeypatch.setattr("remediations.__main__.CONFIG_FILE", config)
    with pytest.raises(SystemExit, match="0"):
        main(["check-config"])
    assert "restart-api" in capsys.readouterr().out


def test_all_faults_of_the_settings_are_told_at_once(capsys, config):
    config.write_text("server: {prot: 1, port: 70000}\nworker: {lease_seconds: fast}\nnonsense: 1\n")

    status, _, err = run(capsys, config, "serve")

    assert status == 2
    for words in ("server.prot", "did you mean port", "server.port", "worker.lease_seconds", "nonsense"):
        assert words in err


def test_all_faults_of_policies_and_credentials_are_told_at_once(capsys, config, tmp_path):
    (tmp_path / "token").write_text("short")
    (tmp_path / "policies.yaml").write_text("policies: [{name: A}]\nmore: 1\n")

    status, _, err = run(capsys, config, "check-config")

    assert status == 2
    for words in ("server.token_file", "policies.yaml:2: more", "policies[0].targets: is required"):
        assert words in err


@pytest.mark.parametrize("command", [("serve",), ("check-config",), ("plan", "--payload", "none.json")])
def test_faults_of_settings_and_policy_file_are_told_at_once_with_file_and_key(capsys, config, tmp_path, command):
    config.write_text(config.read_text() + "worker: {lease_seconds: fast}\nnonsense: 1\n")
    (tmp_path / "policies.yaml").write_text("policies: [{name: A}]\n")

    status, _, err = run(capsys, config, *command)

    assert status == 2
    begin = "controlcore-remediator: "
    for words in (
        f"{begin}{config}: worker.lease_seconds: ",
        f"{begin}{config}: nonsense: unknown setting",
        f"{begin}{tmp_path}/policies.yaml:1: policies[0].targets: is required",
    ):
        assert words in err


def test_fault_that_shows_after_reading_names_its_file_too(capsys, config, tmp_path):
    (tmp_path / "token").unlink()
    (tmp_path / "policies.yaml").unlink()

    _, _, err = run(capsys, config, "serve")

    assert f"controlcore-remediator: {config}: server.token_file: " in err
    assert f"controlcore-remediator: {config}: policies_file: cannot read {tmp_path}/policies.yaml" in err


@pytest.mark.parametrize("text", ["policies_file: 7\nserver: 1\n", "policies_file: [a]\nserver: 1\n"])
def test_policy_file_that_is_no_path_is_one_fault_of_several(capsys, config, text):
    config.write_text(text)

    status, _, err = run(capsys, config, "check-config")

    assert (status, f"{config}: server: " in err, f"{config}: policies_file: " in err) == (2, True, True)


def test_fault_of_a_variable_names_the_variable(capsys, config, monkeypatch):
    monkeypatch.setenv("CONTROLCORE_REMEDIATOR_WORKER__LEASE_SECONDS", "fast")

    assert "controlcore-remediator: CONTROLCORE_REMEDIATOR_WORKER__LEASE_SECONDS: " in run(capsys, config, "list")[2]


def test_settings_that_are_no_yaml_are_the_only_fault(capsys, config):
    config.write_text("server: [")

    _, _, err = run(capsys, config, "check-config")

    assert (len(err.splitlines()), f"{config}: not YAML" in err) == (1, True)


def test_serve_without_a_credential_refuses_to_start(capsys, config):
    config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("server")))

    status, _, err = run(capsys, config, "serve")

    assert status == 2
    assert "server.token_file: not set" in err


def test_lease_shorter_than_a_write_is_a_fault(capsys, config):
    config.write_text(f"{config.read_text()}worker: {{lease_seconds: 2}}\nkubernetes: {{timeout_seconds: 3}}\n")

    status, _, err = run(capsys, config, "serve")

    assert status == 2
    assert "kubernetes.timeout_seconds" in err
    assert "worker.facts_timeout_seconds" in err


def test_serve_can_only_check(capsys, config):
    assert run(capsys, config, "serve", "--config.check")[0] == 0


def test_list_shows_the_newest_first(capsys, config, journal):
    _, out, _ = run(capsys, config, "list")
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == journal[::-1]

    _, out, _ = run(capsys, config, "list", "--output", "json", "--open", "--limit", "1")
    assert [item["id"] for item in json.loads(out)] == journal[-1:]


def test_show_takes_an_id_a_part_of_one_or_last(capsys, config, journal):
    for text in (journal[1], journal[1][-8:], "last"):
        status, out, _ = run(capsys, config, "show", text)
        assert (status, out.splitlines()[0]) == (0, f"Remediation {journal[1]}")
    _, out, _ = run(capsys, config, "show", journal[0], "--output", "json")
    assert json.loads(out)["remediation"]["policy"] == "restart-api"


@pytest.mark.parametrize("text", ["zzz", ""])
def test_show_of_none_or_several_says_so(capsys, config, journal, text):
    status, out, err = run(capsys, config, "show", text)

    assert (status, out) == (1, "")
    assert "remediation" in err


def test_pause_and_resume_change_the_journal_of_a_running_program(capsys, config, journal, tmp_path):
    arguments = ("pause", "night", "--reason", "freeze", "--owner", "ops", "--for", "1h30m")
    assert run(capsys, config, *arguments)[:2][0] == 0

    async def pauses() -> Any:
        async with open_journal(tmp_path / "journal.db") as opened:
            return await opened.pauses(0.0)

    (pause,) = asyncio.run(pauses())
    assert (pause.name, pause.owner, pause.reason) == ("night", "ops (claimed)", "freeze")
    assert pause.until is not None
    assert "ops (claimed)" in run(capsys, config, "pauses")[1]
    assert run(capsys, config, "resume", "night", "--by", "kim")[:2] == (0, "resumed: night\n")
    acts = json.loads(run(capsys, config, "acts", "-o", "json")[1])
    assert [(act["act"], act["subject"], act["name"], act["claimed"], act["source"]) for act in acts] == [
        ("resume", "night", "", "kim", "command_line"),
        ("pause", "night", "", "ops", "command_line"),
    ]
    assert run(capsys, config, "resume", "night")[0] == 1


@pytest.mark.parametrize("text", ["1", "h", "1x", "1h 3m", "-1h", ""])
def test_duration_that_cannot_be_read_is_refused(capsys, config, text):
    status, _, err = run(capsys, config, "pause", "n", "--reason", "r", f"--for={text}")

    assert status == 2
    assert "duration" in err


@pytest.mark.parametrize("text", ["99999999d", "9999999999d", "9" * 5000 + "d", "0s", "3651d"])
def test_pause_without_a_length_or_an_end_is_refused(capsys, config, journal, text):
    """L9's kind: of a pause of 99999999 days `pauses`, `list` and `show` ended in a traceback from then on."""
    status, _, err = run(capsys, config, "pause", "n", "--reason", "r", f"--for={text}")

    assert (status, "duration" in err) == (2, True)
    assert run(capsys, config, "pauses")[1] == "no pause is in force\n"
    assert MAX_DAYS * 86400 == MAX_PAUSE_SECONDS


def test_commands_beside_a_missing_journal_say_where_it_should_be(capsys, config, tmp_path, monkeypatch):
    for command in (("list",), ("show", "last"), ("pause", "n", "--reason", "r"), ("resume", "n")):
        status, _, err = run(capsys, config, *command)
        assert status == 1
        assert f"{tmp_path}/journal.db (journal.path; settings of {config}); `serve` creates it" in err
    monkeypatch.setenv("CONTROLCORE_REMEDIATOR_JOURNAL__PATH", str(tmp_path / "journal.db"))
    assert "no settings file was read: give --config.file PATH" in run(capsys, None, "list")[2]
    assert not (tmp_path / "journal.db").exists()


def test_journal_of_another_program_is_refused_with_a_sentence(capsys, config, tmp_path):
    (tmp_path / "journal.db").write_text("this is no database, and it is long enough to be read as one" * 20)

    status, _, err = run(capsys, config, "list")

    assert status == 1
    assert "not an SQLite database" in err


def test_unknown_variable_of_the_prefix_is_a_fault(capsys, config, monkeypatch):
    monkeypatch.setenv("CONTROLCORE_REMEDIATOR_JOURNEL__PATH", "/x")

    status, _, err = run(capsys, config, "check-config")

    assert status == 2
    assert "did you mean journal" in err


def test_exit_statuses_are_the_documented_ones(capsys):
    _, out, _ = run(capsys, None, "--help")
    table = (Path(__file__).parents[3] / "docs" / "remediations" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.+) \|$", table, re.MULTILINE)

    assert {int(number): meaning for number, meaning in rows} == exit_codes.MEANINGS
    assert exit_codes.epilog() in out


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_of_every_shell_is_printed_without_a_configuration(capsys, shell):
    status, out, err = run(capsys, None, "--print-completion", shell)

    assert (status, err) == (0, "")
    assert all(word in out for word in ("check-config", "would_have_acted", "config.file"))


def test_states_and_outcomes_of_the_parser_are_those_of_the_model():
    assert (arguments.STATES, arguments.OUTCOMES) == (remediation.STATES, remediation.OUTCOMES)


COMMANDS = {
    "list": ("list",),
    "show": ("show", "{id}"),
    "reject": ("reject", "{id}", "--by", "ann"),
    "pause": ("pause", "migration", "--reason", "tables move", "--owner", "ann", "--for", "1h"),
    "resume": ("resume", "migration"),
    "replay": ("replay", "{id}"),
    "pauses": ("pauses",),
    "acts": ("acts", "--limit", "1"),
    "check-config": ("check-config",),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_in_every_form(capsys, config, journal, name):
    told = {}
    for form in ("table", "json", "yaml"):
        run(capsys, config, "pause", "migration", "--reason", "tables move", "--owner", "ann", "--for", "1h")
        filled = [part.format(id=journal[0]) for part in COMMANDS[name]]
        status, told[form], err = run(capsys, config, *filled, "-o", form)
        if name == "reject":  # nothing waits: the same clear answer in every form
            assert (status, "waits" in err) == (1, True)
            continue
        assert (status, bool(told[form])) == (0, True)
    if name != "reject":
        timeless = [strip(json.loads(told["json"])), strip(yaml.safe_load(told["yaml"]))]
        assert timeless[0] == timeless[1]
        with pytest.raises(json.JSONDecodeError):
            json.loads(told["table"])


def strip(content: Any) -> Any:
    """The same without times."""
    if isinstance(content, list):
        return [strip(item) for item in content]
    if isinstance(content, dict):
        times = {"until", "since", "at", "time"}
        named = {key: value for key, value in content.items() if key not in times and not key.endswith("_time")}
        return {key: strip(value) for key, value in named.items()}
    return content


def test_breaker_reset_of_what_was_never_tried_says_what_was(capsys, config, journal):
    status, _, err = run(capsys, config, "breaker", "reset", "restart_workload", "Deployment/a/b", "--by", "ann")

    assert (status, "no attempt of restart_workload on Deployment/a/b" in err) == (1, True)


@pytest.mark.parametrize("name", ["", " ", "x" * 201])
def test_name_that_is_none_is_refused(capsys, config, journal, name):
    assert run(capsys, config, "resume", "night", f"--by={name}")[0] == 2


def test_journal_that_another_process_keeps_locked_is_not_waited_for_longer_than_set(capsys, config, journal, tmp_path):
    config.write_text(config.read_text().replace("journal.db}", "journal.db, timeout_seconds: 1}"))
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    try:
        status, _, err = run(capsys, config, "pause", "migration", "--reason", "tables move")
    finally:
        other.execute("ROLLBACK")
        other.close()

    assert (status, "keeps the journal locked" in err) == (1, True)
    assert time.monotonic() - began < scaled(2.5)


@pytest.mark.parametrize(
    ("argument", "heavy"),
    [
        ("--version", {"pydantic", "asyncio", "yaml", "structlog", "prometheus_client", "aiohttp", "sqlite3"}),
        (
            "list",
            {
                *{"structlog", "prometheus_client", "aiohttp", "asyncpg", "redis", "re2"},
                *{"pydantic_settings", "remediations.engine.engine"},
            },
        ),
    ],
)
def test_command_imports_only_what_it_needs(argument: str, heavy: set[str]) -> None:
    """A command at three in the morning answers at once: a third of the CPU was imports of parts that it never used."""
    code = (
        "import sys\nfrom remediations.__main__ import main\n"
        f"try:\n    main([{argument!r}])\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    )
    link = {"CONTROLCORE_REMEDIATOR_SERVICE_HOST": "10.0.0.1"}  # as kubelet sets it beside a Service of ours
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | link
    )
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()
