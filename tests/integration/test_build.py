"""The builder compiles each program once, whoever needs it, and never leaves half of one."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tools.install import build
from tools.install.build import build_programs, cache_key, choose, locate
from tools.install.compiler import ToolError
from tools.install.programs import PROGRAMS, Program

pytestmark = pytest.mark.timeout(120)

VERSION = "1.2.3"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def program(tmp_path, monkeypatch) -> Program:
    """A program of one line in a separate module, and an empty cache."""
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.test/tiny\n\ngo 1.26\n")
    (module / "go.sum").write_text("")
    (module / "main.go").write_text(f'package main\n\nfunc main() {{ println("{VERSION}") }}\n')
    monkeypatch.setenv("CONTROLCORE_TOOLS_CACHE", str(tmp_path / "cache"))
    return Program("tiny", str(module), ".", VERSION, "-s -w", cold_seconds=5)


def test_missing_program_is_built_and_then_found(program):
    said: list[str] = []
    path = build_programs([program], said.append)["tiny"]
    assert path.is_file()
    assert "not in the cache, building 1.2.3, about" in said[0]
    assert "built in" in said[-1]

    again: list[str] = []
    assert build_programs([program], again.append) == {"tiny": path}
    assert again == [f"[1/1] tiny: cached, {path}"]


def test_missing_program_names_the_command_that_builds_it_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTROLCORE_TOOLS_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_find_on_path", lambda _program: None)
    with pytest.raises(ToolError, match=r"run `python3 -m tools\.install\.build --only promtool` \(about \d+ s\)"):
        locate.__wrapped__("promtool")


def test_key_follows_pins_checksums_sources_flags_and_compiler(program):
    keys = {cache_key(program, "go1.26.8")}
    for name in ("go.mod", "go.sum", "main.go"):
        with (Path(program.module) / name).open("a") as file:
            file.write("\n")
        keys.add(cache_key(program, "go1.26.8"))
    keys.add(cache_key(replace(program, link="-s"), "go1.26.8"))
    keys.add(cache_key(replace(program, tags="one"), "go1.26.8"))
    keys.add(cache_key(program, "go1.26.9"))
    assert len(keys) == 7


def test_two_builders_at_once_compile_once(program):
    said: list[str] = []
    threads = [threading.Thread(target=build_programs, args=([program], said.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("built in" in line for line in said) == 1


def test_program_that_does_not_compile_says_why_and_leaves_nothing(program):
    (Path(program.module) / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(ToolError, match="undefined: nonsense"):
        build_programs([program], lambda _: None)
    choice = choose(program)
    assert not choice.is_present
    assert [path.name for path in choice.path.parent.iterdir()] == ["tiny.lock"]


@pytest.mark.parametrize(("says", "is_taken"), [(f"tiny, version {VERSION}", True), ("tiny, version 1.2.30", False)])
def test_program_on_path_counts_only_in_the_pinned_version(program, tmp_path, monkeypatch, says, is_taken):
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "tiny"
    script.write_text(f"#!/bin/sh\necho '{says}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    asking = replace(program, version_arguments=("--version",))
    assert choose(asking).is_present is is_taken
    # A program that cannot print its version is never used from there.
    assert choose(program).is_present is False


@pytest.mark.parametrize("arguments", [("--only", "kwok", "helm"), ("--only", "kwok", "--only", "helm")])
def test_every_named_program_counts_however_it_is_named(arguments):
    command = [sys.executable, "-m", "tools.install.build", "--list", *arguments]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["kwok", "helm"]


def test_programs_of_the_bench_are_built():
    assert [program.name for program in PROGRAMS if not locate(program.name).is_file()] == []
