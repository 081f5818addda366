"""R16: a process that reads the journal and does not end keeps the write-ahead log from being cut."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediations.core.model.errors import JournalError
from remediations.core.model.remediation import State
from remediations.journal.sqlite.adapter import SqliteJournal, open_journal
from remediations.journal.sqlite.migrations import LOG_BYTES
from tests.contract.journal_opening import T0, change, delivery, match

MIB = 1024 * 1024


@contextmanager
def pinned(path: Path) -> Iterator[None]:
    """Another process has begun to read, and does not end."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM remediation").fetchall()
        yield
    finally:
        connection.close()


async def fill(journal: SqliteJournal, size: int) -> None:
    """Writes until the log has this many bytes."""
    statement, text = "INSERT INTO quarantine (at, problem, raw) VALUES (0, '', ?)", "x" * MIB
    while (await journal.sizes()).log < size:
        await journal._thread.write(lambda connection: connection.execute(statement, (text,)))


async def test_log_is_cut_once_the_reader_has_ended(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        with pinned(path):
            await fill(journal, LOG_BYTES + 8 * MIB)
        await journal.check_integrity()
        await journal.check_integrity()
        sizes = await journal.sizes()
        assert sizes.log <= LOG_BYTES
        assert sizes.data > LOG_BYTES


async def test_nothing_new_is_accepted_while_the_log_is_too_large(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, max_log_bytes=4 * MIB) as journal:
        await journal.append(delivery(match()))
        claim = await journal.claim("w", T0, 10.0)
        assert claim is not None
        with pinned(path):
            await fill(journal, 5 * MIB)
            with pytest.raises(JournalError, match="prevents truncating its write-ahead log"):
                await journal.append(delivery(match(), at=T0))
            with pytest.raises(JournalError, match="prevents truncating its write-ahead log"):
                await journal.check_integrity()
            await journal.advance(claim, State.CLAIMED, State.HELD, T0, change(state=State.HELD))
        await journal.append(delivery(match(), at=T0))
        await journal.check_integrity()


async def test_question_that_nobody_waits_for_ends(tmp_path):
    """Its state would keep the log from being cut for as long as it runs."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    ended = threading.Event()

    def ask(connection: sqlite3.Connection) -> None:
        try:
            connection.execute(endless).fetchall()
        finally:
            ended.set()

    async with open_journal(tmp_path / "journal.db", timeout_seconds=0.5) as journal:
        with pytest.raises(JournalError, match="did not answer"):
            await journal._thread.read(ask)
        await journal.sizes()
        assert ended.is_set()
        await journal.check_integrity()
