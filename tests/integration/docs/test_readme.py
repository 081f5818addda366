"""The first ten minutes of the README, run as printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.servers.ports import free_port

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")

_SECTION = README.partition("## The first dry-run decision in ten minutes\n")[2]
FIRST, SECOND = re.findall(r"```sh\n(.*?)```", _SECTION, re.DOTALL)[:2]

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The parts of a checkout that the README names, and the programs on PATH."""
    for part in ("remediations/shipped", "docs/examples"):
        shutil.copytree(ROOT / part, tmp_path / part)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("controlcore-exporter", "exporter"), ("controlcore-remediator", "remediations")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return tmp_path


def run_printed(checkout: Path, commands: str, options: str = "-eu") -> subprocess.CompletedProcess[str]:
    """Runs commands in the checkout, with both programs on PATH."""
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", options, "-c", commands], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_first_decision_is_a_hold_that_says_why(checkout: Path) -> None:
    ended = run_printed(checkout, FIRST)

    assert ended.returncode == 3, ended.stderr
    assert "restart-api            dry_run" in ended.stdout
    assert "HOLD condition_unknown" in ended.stdout


def test_delivered_alert_is_listed_and_shown_with_the_reason(checkout: Path) -> None:
    """As printed, but for the port, and "again until" as a loop."""
    port = free_port()
    settings = FIRST.replace("host: 127.0.0.1", f"host: 127.0.0.1, port: {port}")
    (listing,) = (line for line in SECOND.splitlines() if " list " in line)
    until_held = f"for _ in $(seq 40); do {listing.partition('#')[0]} | grep held && break; sleep 0.2; done"
    delivery = SECOND.replace("9878", str(port)).replace(listing, until_held)
    ended = run_printed(checkout, f"{settings}\nset -e\n{delivery}", "-u")

    assert ended.returncode == 0, ended.stderr
    assert "held: condition unknown" in " ".join(ended.stdout.split())
    assert "controlcore-remediator --config.file remediator.yaml pause --policy restart-api" in ended.stdout
