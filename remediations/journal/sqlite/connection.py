"""One SQLite connection in its own thread, so that the disk never blocks the event loop.

Driver errors are raised as JournalError with a sentence that says what to do.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from remediations.core.model.errors import JournalError
from remediations.journal.port import Sizes
from remediations.journal.sqlite.migrations import prepare
from remediations.journal.sqlite.owner_lock import Ownership

MAX_LOG_BYTES = 256 * 1024 * 1024
INTERRUPT_STEPS = 10_000
"""After this many steps of SQLite's virtual machine, a query checks whether its caller still waits."""
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
PRIMARY_CODE = 0xFF
"""Masks the extended part of an SQLite result code (https://www.sqlite.org/rescode.html)."""
ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the file or its directory cannot be written",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: its directory must exist and be writable",
    sqlite3.SQLITE_CORRUPT: "the journal is damaged: move the file away or restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database: move it away or name another path",
    sqlite3.SQLITE_BUSY: "another process keeps the journal locked",
    sqlite3.SQLITE_LOCKED: "another process keeps the journal locked",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_PERM: "the file may not be read or written",
}


class SqliteThread:
    """Runs work on the connection, one job after the other, each in its own transaction."""

    def __init__(
        self, path: Path, timeout_seconds: float, *, is_checked: bool = True, max_log_bytes: int = MAX_LOG_BYTES
    ) -> None:
        self._path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._max_log_bytes = max_log_bytes
        self._timeout_seconds = timeout_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._connection: sqlite3.Connection | None = None
        self._is_durable = True
        self._is_checked = is_checked
        self.ownership = Ownership(path)

    async def open(self) -> None:
        """Opens (and creates, readable by its owner alone) the file; raises JournalError."""
        try:
            await self._run(lambda _abandoned: self._connect())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes the connection and ends the thread; committed work is kept."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await loop.run_in_executor(self._executor, self._disconnect)
        except TimeoutError as error:
            raise JournalError(f"{self._path}: the disk did not answer in time when closing") from error
        finally:
            self._executor.shutdown(wait=False)

    async def write(self, work: Work[T], *, is_durable: bool = True, is_new: bool = False) -> T:
        """Commits the work's changes; rolls them back if it raises or takes too long.

        New work (`is_new`) raises JournalError while the write-ahead log is too large: another process reads an old
        state, which prevents truncating the log. Work that has begun is still finished.

        Without `is_durable` a power failure may lose the commit until the next durable one has returned, because all
        commits are in one log. A crash of the process never loses it (PRAGMA synchronous = NORMAL).
        """

        def job(abandoned: threading.Event) -> T:
            if is_new:
                self._require_room()
            self._set_durable(is_durable=is_durable)
            return self._transact(work, "BEGIN IMMEDIATE", abandoned)

        return await self._run(job)

    async def sizes(self) -> Sizes:
        """The size of the file and its write-ahead log on the disk."""
        return await self._run(lambda _abandoned: Sizes(_size(self._path), _size(self._log_path)))

    def _require_room(self) -> None:
        """Raises JournalError while the log is larger than allowed and cannot be truncated; tries once more first."""
        if _size(self._log_path) <= self._max_log_bytes or self._connection is None:
            return
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._connection.execute("PRAGMA busy_timeout = 0").fetchall()
        try:
            is_busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._timeout_seconds * 500)}").fetchall()
        if is_busy:
            words = "a process that reads the journal prevents truncating its write-ahead log: end it"
            raise JournalError(f"{self._path}: {words} ({_size(self._log_path)} bytes)")

    async def read(self, work: Work[T]) -> T:
        """The work's result, from one consistent state."""
        return await self._run(lambda abandoned: self._transact(work, "BEGIN", abandoned))

    async def _run(self, job: Callable[[threading.Event], T]) -> T:
        """The job's result from the thread; raises JournalError if it fails or does not end in time.

        If no caller waits any more (deadline, cancellation), the work is rolled back instead of committed.
        """
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await loop.run_in_executor(self._executor, job, abandoned)
        except TimeoutError as error:
            raise JournalError(f"{self._path}: the disk did not answer within {self._timeout_seconds:g} s") from error
        except sqlite3.Error as error:
            raise JournalError(f"{self._path}: {_explain(error)}") from error
        except RuntimeError as error:
            raise JournalError(f"{self._path}: the journal is closed") from error
        except OSError as error:
            raise JournalError(f"{self._path}: {error.strerror}") from error
        finally:
            abandoned.set()

    def _connect(self) -> None:
        """Opens the file in the thread; the connection is used nowhere else."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=self._timeout_seconds / 2, isolation_level=None)
        self._connection = connection
        connection.row_factory = sqlite3.Row
        try:
            prepare(connection, is_checked=self._is_checked)
        except JournalError as error:
            raise JournalError(f"{self._path}: {error}") from error

    def _disconnect(self) -> None:
        """Closes the connection in its thread."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
        self.ownership.give_back()

    def _set_durable(self, *, is_durable: bool) -> None:
        """Whether the next commit waits until everything is on the disk."""
        if self._connection is not None and is_durable is not self._is_durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
            self._is_durable = is_durable

    def _transact(self, work: Work[T], begin: str, abandoned: threading.Event) -> T:
        """Runs the work between BEGIN and COMMIT."""
        connection = self._connection
        if connection is None or abandoned.is_set():
            raise RuntimeError("closed")
        connection.set_progress_handler(abandoned.is_set, INTERRUPT_STEPS)
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("ROLLBACK" if abandoned.is_set() else "COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.set_progress_handler(None, 0)
        return result


def _size(path: Path) -> int:
    """Bytes of a file; 0 for one that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _explain(error: sqlite3.Error) -> str:
    """The sentence for an SQLite error, followed by SQLite's own message."""
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    advice = ADVICE.get(code)
    return f"{advice} ({error})" if advice else str(error)
