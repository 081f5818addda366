"""The lock beside the journal, and commands that only check whether it is held."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from remediations.journal.sqlite.inspection import find_server
from remediations.journal.sqlite.owner_lock import LOOKS, Ownership


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def look(path: Path) -> int:
    """The shared lock of a command that checks at this moment."""
    file = os.open(path.with_name("journal.db-owner"), os.O_RDONLY | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def test_start_during_a_look_gets_the_lock(path: Path, look: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: os.close(look))
    ours = Ownership(path)
    assert ours.take()
    assert f"process {os.getpid()} on " in find_server(path)
    ours.give_back()


def test_look_that_never_ends_is_not_waited_for_for_ever(
    path: Path, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    assert not Ownership(path).take()
    assert len(waits) == LOOKS
    os.close(look)


def test_server_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    first, second = Ownership(path), Ownership(path)
    assert (first.take(), second.take()) == (True, False)
    first.give_back()
    assert second.take()
    second.give_back()
