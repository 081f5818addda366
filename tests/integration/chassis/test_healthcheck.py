"""The command `healthcheck` of both programs, against the running program: well, frozen, gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.servers.sidecar import ExporterServer, RemediatorServer, Sidecar
from tools.slowness import scaled

ROOT = Path(__file__).resolve().parents[3]
POLICIES = ROOT / "remediations" / "shipped" / "policies.yaml"


@pytest.fixture(params=["exporter", "remediations"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Sidecar]]:
    program = ExporterServer({}) if request.param == "exporter" else RemediatorServer({}, POLICIES.read_text())
    with program:
        yield request.param, program


def checked(module: str, program: Sidecar, timeout_seconds: float = scaled(5)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, "healthcheck", "--config.file", str(program.settings_path)]
    command += ["--timeout", str(timeout_seconds)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=scaled(30))


def test_healthcheck_tells_a_program_that_serves_from_one_that_is_frozen_or_gone(served):
    module, program = served
    well = checked(module, program)
    assert (well.returncode, well.stdout, well.stderr) == (0, "healthy\n", "")

    os.kill(program.process.pid, signal.SIGSTOP)
    try:
        frozen = checked(module, program, 0.2)
    finally:
        os.kill(program.process.pid, signal.SIGCONT)
    assert (frozen.returncode, frozen.stdout, frozen.stderr) == (1, "", f"127.0.0.1:{program.port}: timed out\n")

    program.stop()
    gone = checked(module, program)
    assert gone.returncode == 1
    assert "connection refused" in gone.stderr
