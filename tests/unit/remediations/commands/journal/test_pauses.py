"""The scope of a pause, as given to and printed by the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.unit.remediations.test_main import config, journal, run  # noqa: F401 - fixtures

TARGET = "Deployment/controlcore/control-plane-api"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("restart-api",), ("restart-api", "restart-api", "")),
        (("--policy", "restart-api"), ("restart-api", "restart-api", "")),
        (("night", "--policy", "restart-api"), ("night", "restart-api", "")),
        ((TARGET,), (TARGET, "", TARGET)),
        (("control-plane-api",), ("control-plane-api", "", TARGET)),
        (("--target", "control-plane-api"), (TARGET, "", TARGET)),
        (("restart-api", "--target", "control-plane-api"), ("restart-api", "", TARGET)),
        (("--all",), ("everything", "", "")),
        (("restart-api", "--all"), ("restart-api", "", "")),
        (("night",), ("night", "", "")),
    ],
)
def test_pause_stops_what_was_named(capsys, config, journal, words, found):  # noqa: F811 - fixtures
    status, out, _ = run(capsys, config, "pause", *words, "--reason", "r", "--by", "ann")
    (pause,) = json.loads(run(capsys, config, "pauses", "-o", "json")[1])

    assert status == 0
    assert (pause["name"], pause["policy"], pause["target"]) == found
    scope = f"policy {found[1]}" if found[1] else f"target {found[2]}" if found[2] else "everything"
    assert out.startswith(f"{scope} is paused until resumed (pause {found[0]})")
    for command in (("pauses",), ("list",)):
        assert scope in run(capsys, config, *command)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--policy NAME"),
        (("restart-apii",), "did you mean restart-api?"),
        (("--policy", "restart"), "there are: "),
        (("--target", "Deployment/a/b"), "there is no target"),
        (("Deployment/a/b",), "there is no target"),
        (("--policy", "restart-api", "--all"), "not allowed with"),
    ],
)
def test_what_cannot_be_meant_stops_nothing_and_says_how(capsys, config, journal, words, told):  # noqa: F811
    status, _, err = run(capsys, config, "pause", *words, "--reason", "r")

    assert (status, told in err) == (2, True)
    assert run(capsys, config, "pauses")[1] == "no pause is in force\n"


def test_everything_that_a_pause_lacks_is_named_at_once(capsys, config, journal):  # noqa: F811
    status, _, err = run(capsys, config, "pause")

    assert (status, "--policy NAME" in err, "--reason" in err) == (2, True, True)


def test_pause_without_a_reason_stops_nothing(capsys, config, journal):  # noqa: F811
    assert run(capsys, config, "pause", "--all")[0] == 2
    assert run(capsys, config, "pauses")[1] == "no pause is in force\n"


def test_broken_policy_file_keeps_nobody_from_stopping_everything(capsys, config, journal, tmp_path):  # noqa: F811
    (tmp_path / "policies.yaml").write_text("nonsense")

    status, _, err = run(capsys, config, "pause", "restart-api", "--reason", "r")

    assert (status, "--all stops everything" in err) == (2, True)
    assert run(capsys, config, "pause", "--all", "--reason", "r")[0] == 0


def test_pause_in_force_is_not_narrowed_by_another_of_its_name(capsys, config, journal):  # noqa: F811
    run(capsys, config, "pause", "night", "--reason", "r")

    status, _, err = run(capsys, config, "pause", "night", "--policy", "restart-api", "--reason", "r")

    assert (status, "stops everything: resume it" in err) == (1, True)


def test_banner_stands_above_what_it_stops_only(capsys, config, journal):  # noqa: F811
    run(capsys, config, "pause", "scale-api", "--reason", "load test", "--by", "ann")

    assert run(capsys, config, "show", journal[1])[1].startswith("PAUSED: policy scale-api, by ann (claimed) since ")
    assert run(capsys, config, "show", journal[0])[1].startswith("Remediation")
    assert run(capsys, config, "list")[1].startswith("PAUSED: policy scale-api")


def test_lines_to_copy_name_a_pause_as_a_shell_reads_it(capsys, config, journal, tmp_path):  # noqa: F811 - fixtures
    """A line to copy did what stood behind the semicolon; and nothing but removing the file ends its pause."""
    name = "night; rm -r x"
    stop = tmp_path / "stop it"
    stop.touch()
    config.write_text(config.read_text() + f"pause_file: {stop}\n")

    told = run(capsys, config, "pause", name, "--reason", "r")[1]
    shown = run(capsys, config, "show", journal[0])[1]

    assert f"--config.file {config} resume '{name}'\n" in told
    assert f"resume '{name}'\n    rm '{stop}'\n" in shown
    assert f"by {stop}, until that file is removed" in shown
    status, _, err = run(capsys, config, "resume", "pause_file")
    assert (status, f"rm '{stop}'" in err) == (1, True)


def test_pause_until_a_time_that_is_no_date_is_listed(capsys, config, journal, tmp_path):  # noqa: F811 - fixtures
    """L9's kind: an older program stored it."""
    run(capsys, config, "pause", "night", "--for", "1h", "--reason", "r")
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("UPDATE pause SET until = 8641795882068")

    for command in (("pauses",), ("list",), ("show", "last"), ("pauses", "-o", "yaml")):
        status, out, _ = run(capsys, config, *command)
        assert (status, "8641795882068" in out) == (0, True)


def test_pause_file_is_listed_too(capsys, config, journal, tmp_path):  # noqa: F811
    (tmp_path / "stop").write_text("everything off\n")
    config.write_text(config.read_text() + f"pause_file: {tmp_path}/stop\n")

    assert "everything off" in run(capsys, config, "pauses")[1]
    assert run(capsys, config, "list")[1].startswith("PAUSED: everything")


def test_unknown_pause_is_told_with_those_that_there_are(capsys, config, journal):  # noqa: F811
    run(capsys, config, "pause", "night", "--reason", "r")

    status, _, err = run(capsys, config, "resume", "nigth")

    assert (status, "there are: night" in err) == (1, True)


@pytest.mark.parametrize(
    "case",
    [
        ("restart-api", "restart-the-api", "there is no policy restart-api (is it restart-the-api now?)"),
        ("opal-server", "opal-hub", "no policy has the target Deployment/controlcore/opal-server"),
    ],
)
def test_pause_of_what_is_gone_says_that_it_stops_nothing(capsys, config, journal, case):  # noqa: F811 - fixtures
    """The policy acted again after it was given another name, and everything still called it paused."""
    (name, new_name, problem), policies = case, config.with_name("policies.yaml")
    run(capsys, config, "pause", name, "--reason", "r")
    run(capsys, config, "pause", "--all", "--reason", "r")
    before = [run(capsys, config, "pauses")[1], run(capsys, config, "check-config")[2]]
    policies.write_text(policies.read_text().replace(name, new_name))

    told = [run(capsys, config, "pauses")[1], run(capsys, config, "check-config")[2]]

    assert [problem in text for text in (*before, *told)] == [False, False, True, True]
    listed = json.loads(run(capsys, config, "pauses", "-o", "json")[1])
    assert [problem in item["problem"] for item in listed] == [item["name"] != "everything" for item in listed]


def test_whether_a_pause_stops_anything_is_unknown_without_the_policies(capsys, config, journal, tmp_path):  # noqa: F811
    """A policy file with a fault must not keep the pauses from being listed."""
    run(capsys, config, "pause", "restart-api", "--reason", "r")
    (tmp_path / "policies.yaml").write_text("nonsense")

    status, out, _ = run(capsys, config, "pauses")

    assert (status, "unknown whether it has any effect" in out) == (0, True)


def test_check_config_leaves_an_older_journal_as_it_is(capsys, config, tmp_path):  # noqa: F811 - fixtures
    """`serve` of the older program still works on it."""
    connection = sqlite3.connect(tmp_path / "journal.db")
    connection.executescript("PRAGMA user_version = 1; CREATE TABLE pause (name TEXT);")

    status, _, err = run(capsys, config, "check-config")

    assert (status, "pauses are not checked: " in err) == (0, True)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
