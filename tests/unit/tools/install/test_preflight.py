"""Missing requirements of a machine are reported before anything starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.install import packages
from tools.install.packages import Package
from tools.install.preflight import find_faults, main

ROOT = Path(__file__).parents[4]
NOWHERE = (Package("emacs", (("emacs", "/nowhere/emacs"),)),)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with everything, and nothing built yet."""
    monkeypatch.setenv("CONTROLCORE_TOOLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 12 * 10**9))
    monkeypatch.setattr(packages, "PACKAGES", ())
    monkeypatch.setattr(packages, "DEMO", ())
    return tmp_path


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("purpose", ["venv", "act", "demo", "test"])
def test_machine_with_everything_has_no_fault(purpose):
    assert find_faults(purpose) == []


@pytest.mark.usefixtures("machine")
def test_older_python_is_the_only_fault_that_is_told(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    (fault,) = find_faults("demo")
    assert fault.startswith("Python 3.11 or newer is needed, ")
    assert fault.endswith("make PYTHON=python3.12")


@pytest.mark.usefixtures("machine")
def test_all_faults_are_told_at_once_each_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 2 * 10**9))
    monkeypatch.setattr(shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    monkeypatch.setattr(packages, "DEMO", NOWHERE)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["preflight", "demo"])
    assert main() == 1
    said = capsys.readouterr().err
    assert "apt-get install python3-venv" in said
    assert "7 GB of free space are needed in " in said
    assert "sudo apt-get install --no-install-recommends emacs" in said


@pytest.mark.usefixtures("machine")
def test_other_system_than_linux_has_the_unit_tests(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert find_faults("venv") == []
    assert find_faults("act") == ["the test servers run on Linux alone, this is Darwin: `make unit` needs none of them"]


def test_built_programs_need_no_space_for_building(machine, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 2 * 10**9))
    assert len(find_faults("test")) == 1
    (machine / "cache" / "key").mkdir(parents=True)
    (machine / "cache" / "key" / "kwok").touch()
    assert find_faults("test") == []


@pytest.mark.parametrize(
    ("arguments", "purpose"),
    [
        (("demo",), "demo"),
        (("demo", "ACT=1"), "act"),
        (("demo", "ACT=2"), "demo"),
        (("test",), "test"),
        (("check",), "test"),
    ],
)
def test_make_asks_before_it_does_anything(tmp_path, arguments, purpose):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexit 1\n')
    python.chmod(0o755)
    command = ["make", *arguments, f"PYTHON={python}", f"VENV={tmp_path}/venv"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert ended.returncode == 2
    assert (tmp_path / "calls").read_text() == f"-m tools.install.preflight {purpose}\n"
    assert not (tmp_path / "venv").exists()
