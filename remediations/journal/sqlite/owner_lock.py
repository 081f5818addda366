"""Checks whether only this process serves a journal file, by a lock that the kernel releases when its holder dies.

The lock is on a file beside the journal, not on the journal itself: closing any descriptor of a file releases the locks
that SQLite holds on it (fcntl(2)).
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

UNKNOWN = "another process"
LOOKS, LOOK_SECONDS = 50, 0.01
"""A read-only command holds the lock, shared, for an instant: number of waits, and length of each."""


class Ownership:
    """The lock; every method blocks on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-owner")
        self._file: int | None = None

    def take(self) -> bool:
        """Whether the journal is ours: no other live process serves it. Raises OSError if this is unknown."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_ours = False
        try:
            is_ours = _lock(file)
        finally:
            if not is_ours:
                os.close(file)
        if not is_ours:
            return False
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._file = file
        return True

    def holder(self) -> str:
        """The process that serves the journal, in its own words; for people."""
        with suppress(OSError, UnicodeDecodeError):
            return self._path.read_text(encoding="utf-8").strip() or UNKNOWN
        return UNKNOWN

    def give_back(self) -> None:
        """Releases the lock for the next process."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                os.close(file)


def _lock(file: int) -> bool:
    """Whether the lock is ours now.

    A serving process holds it exclusively; a shared holder only reads, and is waited for.
    """
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(LOOK_SECONDS)
    return False
