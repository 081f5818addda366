"""The first ten minutes of the README, run as printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.timeout(60)


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


def printed(title: str) -> str:
    """The first commands under a heading."""
    section = README.partition(f"## {title}\n")[2]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


def test_first_decision_is_a_hold_that_says_why(checkout: Path) -> None:
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    commands = printed("The first dry-run decision in ten minutes")
    ended = subprocess.run(
        ["bash", "-eu", "-c", commands], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert "restart-api            dry_run" in ended.stdout
    assert "HOLD condition_unknown" in ended.stdout
