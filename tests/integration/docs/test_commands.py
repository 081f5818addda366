"""The commands that the pages under docs/ print, on the real programs. What needs an installation is named as such."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from remediations.journal.sqlite.adapter import open_journal
from tests.fakes.markdown import ROOT, Command, commands_of
from tests.fakes.printed_routes import find_in
from tools.install import packages
from tools.servers.alertmanager import AlertmanagerServer
from tools.servers.redis import RedisServer
from tools.servers.versions import Generation
from tools.slowness import scaled
from tools.standin.database import install_schema

FOLLOWED = {"docs/tutorial.md": "tests/system/test_tutorial.py"}
"""Pages that a separate test follows from the first command to the last."""
PAGES = sorted(set((ROOT / "docs").rglob("*.md")) - {ROOT / page for page in FOLLOWED})
COMMANDS = [command for page in PAGES for command in commands_of(page)]
RUN = {"amtool", "psql", "redis-cli", "controlcore-exporter", "controlcore-remediator"}
ELSEWHERE = {"python3": "tests/unit/tools/generate/test_links.py"}
"""Programs that another test runs."""
ROUTE_TEST = "amtool config routes test "
ALERTMANAGER = "http://alertmanager:9093"
AUTHORITY = "tls_config: {ca_file: /etc/alertmanager/controlcore-ca.crt}"

pytestmark = pytest.mark.timeout(120)


def of(program: str) -> list[Command]:
    """The printed commands of one program."""
    return [command for command in COMMANDS if command.program == program]


def run(command: Command, script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a shell does, with its own home folder."""
    search = f"{folder / 'bin'}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PATH": search, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    assert "Traceback" not in ended.stderr, f"{command.place}: {ended.stderr}"
    return ended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with the two programs on its PATH, and the folders that the pages write to."""
    (tmp_path / ".config" / "fish" / "completions").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for name, module in (("controlcore-exporter", "exporter"), ("controlcore-remediator", "remediations")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return tmp_path


def test_every_command_is_run_by_a_test_or_named_as_one_that_needs_an_installation() -> None:
    page = (ROOT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    found = re.search(r"The lines of (.*) need an installation: no test runs them\.", page)
    assert found is not None
    named = set(re.findall(r"`([^`]+)`", found[1]))

    assert {command.program for command in COMMANDS} == RUN | ELSEWHERE.keys() | named
    assert all((ROOT / file).exists() for file in (*ELSEWHERE.values(), *FOLLOWED, *FOLLOWED.values()))


def test_every_command_is_one_that_a_shell_reads() -> None:
    script = "\n".join(command.text for command in COMMANDS)
    ended = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_printed_route_tests_are_those_that_are_run() -> None:
    printed = {tuple(shlex.split(each.text)[1:]) for each in of("amtool") if each.text.startswith(ROUTE_TEST)}

    assert printed == {check.arguments for page in PAGES for route in find_in(page) for check in route.checks}


def test_alertmanager_takes_every_printed_line(folder: Path) -> None:
    example = (ROOT / "docs" / "examples" / "alertmanager.yml").read_text(encoding="utf-8")
    assert AUTHORITY in example
    lines = [command for command in of("amtool") if not command.text.startswith(ROUTE_TEST)]
    (folder / "bin" / "amtool").symlink_to(Generation.PINNED.locate("amtool"))
    with AlertmanagerServer(example.replace(AUTHORITY, "")) as server:
        failed = [
            f"{line.place}: {ended.stderr}"
            for line in lines
            if (
                ended := run(line, line.text.replace(ALERTMANAGER, server.url), folder, ALERTMANAGER_URL=server.url)
            ).returncode
        ]

    assert lines
    assert failed == []


def test_postgresql_takes_every_printed_query(database: str, folder: Path) -> None:
    install_schema(database)
    (folder / "bin" / "psql").symlink_to(packages.locate("psql"))
    script = f'psql() {{ command psql -v ON_ERROR_STOP=1 "{database}" "${{@: -2}}"; }}; '
    failed = [
        f"{line.place}: {ended.stderr}"
        for line in of("psql")
        if (ended := run(line, script + line.text, folder, DATABASE_URL=database)).returncode
    ]

    assert of("psql")
    assert failed == []


def test_redis_takes_every_printed_command(redis_server: RedisServer, redis_url: str, folder: Path) -> None:
    script = f'redis-cli() {{ command redis-cli -e -p {redis_server.port} "$@"; }}; '
    ended = {line.place: run(line, script + line.text, folder, REDIS_URL=redis_url) for line in of("redis-cli")}

    assert ended
    assert {place: each.stdout + each.stderr for place, each in ended.items() if each.returncode} == {}


async def test_both_programs_take_every_printed_line(folder: Path) -> None:
    """Status 1 is allowed: there is no remediation of that name. Status 2 would be a wrong command line."""
    (folder / "exporter.yaml").write_text("server: {port: 9877}\n", encoding="utf-8")
    async with open_journal(folder / "journal.db"):
        pass
    settings = {
        "CONTROLCORE_REMEDIATOR_JOURNAL__PATH": str(folder / "journal.db"),
        "CONTROLCORE_REMEDIATOR_POLICIES_FILE": str(ROOT / "remediations" / "shipped" / "policies.yaml"),
    }
    lines = of("controlcore-remediator") + of("controlcore-exporter")
    failed = []
    for line in lines:
        text = line.text.replace("/etc/bash_completion.d", str(folder)).replace("=FILE", "=exporter.yaml")
        ended = run(line, text, folder, **settings)
        if ended.returncode not in {0, 1}:
            failed.append(f"{line.place}: {line.text}: {ended.stderr}")

    assert lines
    assert failed == []
