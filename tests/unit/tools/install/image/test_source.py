"""The image says from which commit it is, and takes its time from it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tools.install.image.source import ROOT, SourceError, read_source

TIME = 1700000000


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository of one commit, of which the build sees one file."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{TIME} +0200")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name, text in {
        "pyproject.toml": "[project]\nversion = '1.2.3'\n",
        ".dockerignore": "*\n!pyproject.toml\n",
        "Dockerfile": "",
        "notes": "",
    }.items():
        (tmp_path / name).write_text(text)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.test")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def head(checkout: Path) -> str:
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


def test_version_commit_and_its_time_are_read(checkout):
    source = read_source(checkout)
    assert (source.version, source.revision, source.epoch) == ("1.2.3", head(checkout), TIME)


@pytest.mark.parametrize(("name", "mark"), [("Dockerfile", "-dirty"), ("notes", "")])
def test_change_of_what_the_build_sees_is_marked(checkout, name, mark):
    (checkout / name).write_text("changed")
    assert read_source(checkout).revision == head(checkout) + mark


def test_time_of_the_environment_wins(checkout, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert read_source(checkout).epoch == 5


@pytest.mark.parametrize(
    ("given", "said"), [("", "this is no git checkout"), ("today", "SOURCE_DATE_EPOCH is 'today'")]
)
def test_unknown_time_is_refused_with_what_to_do(tmp_path, monkeypatch, given, said):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "pyproject.toml").write_text("[project]\nversion = '1.2.3'\n")
    (tmp_path / ".dockerignore").write_text("*\n")
    with pytest.raises(SourceError, match=f"^{said}: set SOURCE_DATE_EPOCH to"):
        read_source(tmp_path)


def test_archive_without_git_needs_the_time_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    source = read_source(ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (source.version, source.revision, source.epoch) == (project["version"], "", 7)
