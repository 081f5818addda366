"""Programs that draw are given up after a time, with their children."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fakes.waiting import wait_for
from tools.pictures.browser import PictureError, _run

HANGING = """sh -c 'echo $$ > child; exec sleep 600' & wait"""


def _is_running(pid: int) -> bool:
    """Whether the process exists and has not ended: a zombie has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="sh: not done within 1 s"):
        _run(["sh", "-c", HANGING], tmp_path, timeout_seconds=1)
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    wait_for(lambda: not _is_running(child))


def test_program_ends_with_its_children_when_it_is_no_longer_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches only us, while we wait for the program."""
    child = tmp_path / "child"

    def interrupted(*_: object, **__: object) -> None:
        wait_for(lambda: child.exists() and child.read_text(encoding="utf-8"))
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _run(["sh", "-c", HANGING], tmp_path)
    wait_for(lambda: not _is_running(int(child.read_text(encoding="utf-8"))))


def test_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such page"):
        _run(["sh", "-c", "echo no such page >&2; exit 3"], tmp_path)
