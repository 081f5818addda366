"""Inspects a journal file without changing it: no migration, no creation, no lasting lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from remediations.core.model.errors import DamagedJournalError, JournalError, UnseenJournalError
from remediations.core.model.facts import Pause
from remediations.journal.sqlite import statements as sql
from remediations.journal.sqlite.connection import ADVICE, PRIMARY_CODE
from remediations.journal.sqlite.migrations import APPLICATION_ID, MIGRATIONS, OPEN
from remediations.journal.sqlite.owner_lock import Ownership
from remediations.journal.sqlite.rows import read_pause

SCHEMA = len(MIGRATIONS)
"""The schema that this program knows."""
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Error codes of SQLite for a file that will never become readable."""
UNSEEN = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
)
"""Codes that say nothing about the file: it is locked, or this user may not read it."""
WAIT_SECONDS = 2.0
OLDEST = f"SELECT id, policy, state, created_at, next_at FROM remediation WHERE {OPEN} ORDER BY created_at LIMIT 1"  # noqa: S608 - constants
OVERDUE = f"SELECT min(next_at) AS at FROM remediation WHERE {OPEN} AND coalesce(lease_until, 0) <= ?"  # noqa: S608 - same
SERVE = "serve"
"""The command in the arguments of a serving process."""
PROGRAM = "remediat"
"""In the arguments of every process of this program: controlcore-remediator, or python -m remediations."""


class Access(StrEnum):
    """How SQLite may read a journal: the parameters of its URI (https://www.sqlite.org/uri.html)."""

    SHARED = "mode=ro"
    """Alongside the programs that have it open."""
    UNCHANGING = "mode=ro&immutable=1"
    """As a file that does not change: SQLite then leaves no log behind."""
    COPY = ""
    """Only as a copy elsewhere."""


@dataclass(frozen=True, slots=True)
class OpenRemediation:
    """The oldest remediation that is not closed."""

    id: str
    policy: str
    state: str
    created_at: float


@dataclass(frozen=True, slots=True)
class ServingProcesses:
    """Ids of processes that serve one journal."""

    known: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    """Processes that serve a journal which this user may not see."""


@dataclass(frozen=True, slots=True)
class JournalLook:
    """The content of the file; `oldest`, `overdue_at` and `pauses` stay empty if the schema differs."""

    schema: int
    oldest: OpenRemediation | None = None
    overdue_at: float | None = None
    """When the remediation that has waited longest was due, Unix seconds."""
    pauses: tuple[Pause, ...] = ()


def look_into(path: Path, now: float) -> JournalLook:
    """The journal's state; raises JournalError, DamagedJournalError or UnseenJournalError, with a sentence.

    Blocks on the disk. It reads again if a program opened or closed the file meanwhile.
    """
    while True:
        access = _access(path)
        try:
            look = _read_copy(path, now) if access is Access.COPY else _read(path, access, now)
        except JournalError:
            if access is _access(path):
                raise
        else:
            if access is _access(path):
                return look


def _access(path: Path) -> Access:
    """How the file can be read now without leaving another file beside it.

    Without a write-ahead log no process has it open; without the log's index neither, and SQLite would make one
    (https://www.sqlite.org/wal.html, "Read-Only Databases").
    """
    if not path.with_name(f"{path.name}-wal").exists():
        return Access.UNCHANGING
    return Access.SHARED if path.with_name(f"{path.name}-shm").exists() else Access.COPY


def _read_copy(path: Path, now: float) -> JournalLook:
    """One reading of a copy of the file with its log."""
    try:
        with TemporaryDirectory(prefix="controlcore-doctor-") as folder:
            for end in ("", "-wal"):
                shutil.copyfile(f"{path}{end}", f"{folder}/{path.name}{end}")
            return _read(Path(folder, path.name), Access.SHARED, now)
    except OSError as error:
        raise UnseenJournalError(f"it has a log without an index, and no copy can be made: {error}") from error


def _read(path: Path, access: Access, now: float) -> JournalLook:
    """One look."""
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?{access}", uri=True, timeout=WAIT_SECONDS)
        ) as connection:
            connection.row_factory = sqlite3.Row
            schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if int(connection.execute("PRAGMA application_id").fetchone()[0]) != APPLICATION_ID:
                raise JournalError("the file is a database of another program, or empty")
            if schema != SCHEMA:
                return JournalLook(schema)
            row = connection.execute(OLDEST).fetchone()
            oldest = None if row is None else OpenRemediation(row["id"], row["policy"], row["state"], row["created_at"])
            overdue = connection.execute(OVERDUE, (now,)).fetchone()["at"]
            return JournalLook(schema, oldest, overdue, tuple(map(read_pause, connection.execute(sql.PAUSES, (now,)))))
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
        kind = DamagedJournalError if code in DAMAGE else UnseenJournalError if code in UNSEEN else JournalError
        raise kind(f"{ADVICE[code]} ({error})" if code in ADVICE else str(error)) from error


def free_bytes(path: Path) -> int:
    """Free bytes for this user on the file system of a file; raises OSError."""
    return shutil.disk_usage(path.parent).free


def log_bytes(path: Path) -> int:
    """Size of the write-ahead log; 0 without one."""
    with suppress(OSError):
        return path.with_name(f"{path.name}-wal").stat().st_size
    return 0


def find_server(path: Path) -> str:
    """The process that serves the journal, in its own words; empty if none does. Raises OSError.

    The lock is tried in shared mode and given back at once; a program that starts meanwhile waits for that.
    """
    owner = path.with_name(f"{path.name}-owner")
    try:
        file = os.open(owner, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Ownership(path).holder()
    finally:
        os.close(file)
    return ""


def find_serving_processes(path: Path, processes: Path = Path("/proc")) -> ServingProcesses:
    """The processes that serve this very file, as far as this user may see them (proc(5))."""
    known, hidden = [], []
    for folder in processes.glob("[0-9]*"):
        with suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if SERVE.encode() not in arguments:
                continue
            try:
                if any(_is_same(link, path) for link in (folder / "fd").iterdir()):
                    known.append(int(folder.name))
            except PermissionError:
                if any(PROGRAM.encode() in argument for argument in arguments):
                    hidden.append(int(folder.name))
    return ServingProcesses(tuple(sorted(known)), tuple(sorted(hidden)))


def _is_same(link: Path, path: Path) -> bool:
    """Whether a descriptor is open on this file."""
    with suppress(OSError):
        return link.samefile(path)
    return False
