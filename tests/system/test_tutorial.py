"""docs/tutorial.md as a reader follows it: every command of the stage, in order, with the printed results."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.markdown import FENCE, ROOT
from tests.fakes.waiting import wait_for
from tools.chart import FIRST_INSTALLATION, find_object, render
from tools.slowness import scaled

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STAGE, INSTALLATION = PAGE.split("## The same in your installation")
NOT_RUN = re.compile(r"The lines of (.*) need an installation: no test runs them\.")
UNTIL = re.compile(r"^(?P<command>.*?)\s+# again until it prints (?P<expected>.+)$")
STATUS = re.compile(r"^(?P<command>.*?)\s+# status (?P<status>\d)$")
HASH = re.compile(r"--plan ([0-9a-f]{64})")
OF_THE_SEED = ("ControlCorePolicySyncStale", "ControlCorePIPSyncOverdue", "ControlCoreComplianceCheckFailing")
"""Alerts about rows and objects that this test does not break."""
STARTS = ["make demo TUTORIAL=1", "cd build/tutorial", ". ./env"]
"""Like the fixture, but with the test's own folder."""


def lines() -> list[str]:
    """Every command of the page that the stage answers."""
    return [line for fence in FENCE.finditer(STAGE) if fence["language"] == "sh" for line in fence["text"].splitlines()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder, as the second terminal does."""
    script = f". ./env\n{command}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a stage that is ready."""
    place, log = tmp_path / "tutorial", tmp_path / "log"
    with log.open("w", encoding="utf-8") as out:
        command = [sys.executable, "-m", "demo", "--tutorial", "--folder", str(place)]
        stage = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "in another terminal" in log.read_text() or stage.poll() is not None, 180)
        assert stage.poll() is None, log.read_text()
        yield place
    finally:
        stage.send_signal(signal.SIGINT)
        status = stage.wait(scaled(60))
    assert status == 0, log.read_text()


@pytest.mark.cluster
@pytest.mark.xdist_group("demo")
@pytest.mark.timeout(900)
def test_every_command_does_what_the_page_says(folder: Path) -> None:
    shown = ""
    printed = lines()
    assert printed[: len(STARTS)] == STARTS
    for line in printed[len(STARTS) :]:
        until, status = UNTIL.match(line), STATUS.match(line)
        command = (until or status or {"command": line})["command"]
        if "HASH" in command:
            found = HASH.search(shown)
            assert found is not None, shown
            command = command.replace("HASH", found[1]).replace("YOUR-NAME", "ann")
        if until:
            wait_for(
                lambda command=command, until=until: until["expected"] in run(command, folder).stdout,
                120,
                poll_seconds=1,
                describe=lambda command=command: run(command, folder),
            )
            continue
        ended = run(command, folder)
        shown = ended.stdout + ended.stderr
        assert ended.returncode == int(status["status"] if status else 0), f"{command}: {shown}"
    assert "PAUSED" in shown
    alerts = run('curl -s "$PROMETHEUS_URL/api/v1/alerts"', folder).stdout
    assert [name for name in OF_THE_SEED if name in alerts] == [], "a stage that is left alone is quiet"


def test_values_of_the_installation_let_the_policy_ask_for_approval() -> None:
    (block,) = (fence["text"] for fence in FENCE.finditer(INSTALLATION) if fence["language"] == "yaml")
    values = yaml.safe_load(block)
    values["remediator"] |= FIRST_INSTALLATION["remediator"]
    policies = find_object(render(values, "controlcore", "controlcore"), "ConfigMap", "controlcore-remediator")["data"]
    (policy,) = (
        each for each in yaml.safe_load(policies["policies.yaml"])["policies"] if each["name"] == "restart-api"
    )

    assert policy["mode"] == "approve"


def test_lines_that_no_test_runs_are_named_as_such() -> None:
    found = NOT_RUN.search(INSTALLATION)
    blocks = [fence["text"] for fence in FENCE.finditer(INSTALLATION) if fence["language"] == "sh"]

    assert found is not None
    assert {line.split()[0] for block in blocks for line in block.splitlines()} == set(re.findall(r"`(\w+)`", found[1]))
