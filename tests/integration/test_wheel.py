"""The wheel that an operator installs: both programs start from it alone, with the policies that they ship."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from exporter.commands.doctor.shipped import read_queries, read_rules

ROOT = Path(__file__).parents[2]
PROGRAMS = ("controlcore-exporter", "controlcore-remediator")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(folder), str(wheel)], check=True)
    return folder


def test_wheel_holds_the_three_packages_the_man_pages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.partition("/")[0] for name in names if ".dist-info/" not in name and ".data/" not in name}
    assert folders == {"chassis", "exporter", "remediations"}
    assert "remediations/shipped/policies.yaml" in names
    assert {name.partition(".data/")[2] for name in names if ".data/" in name} == {
        f"data/share/man/man1/{program}.1" for program in PROGRAMS
    }
    for kind, ending in (("rules", ".yml"), ("dashboards", ".json")):
        shipped = {name.rpartition("/")[2] for name in names if name.startswith(f"exporter/shipped/{kind}/")}
        assert shipped == {path.name for path in (ROOT / kind).glob(f"*{ending}")}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.timeout(60)
def test_program_starts_from_the_wheel_alone(program: str, wheel: Path, installed: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [str(installed / "bin" / program), "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    number = wheel.name.split("-")[1]
    assert ended.stdout == f"{program}, version {number} (Python {platform.python_version()})\n"


def test_doctor_finds_the_shipped_rules_and_dashboards_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from exporter.commands.doctor import shipped; print(len(shipped.read_rules()), len(shipped.read_queries()))"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [str(len(read_rules())), str(len(read_queries()))]
