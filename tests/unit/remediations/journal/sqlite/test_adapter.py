"""The SQLite journal keeps the contract, and says clearly why it cannot."""

from __future__ import annotations

import asyncio
import re
import resource
import sqlite3
import stat
import threading
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from remediations.core.model.alert import Quarantined
from remediations.core.model.errors import FenceLostError, JournalError
from remediations.core.model.remediation import CLOSED, IN_FLIGHT, State
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import open_journal
from remediations.journal.sqlite.connection import SqliteThread
from remediations.journal.sqlite.migrations import APPLICATION_ID, FLYING, MIGRATIONS, OPEN
from remediations.journal.sqlite.rows import IdSource
from tests.contract.journal import JournalContract
from tests.contract.journal_opening import T0, change, delivery, match
from tools.slowness import scaled


class TestSqliteJournal(JournalContract):
    def open(self, place: Path) -> AbstractAsyncContextManager[Journal]:
        return open_journal(place)


def test_lists_of_states_in_the_schema_are_those_of_the_model():
    def named(text: str) -> set[State]:
        return {State(word) for word in re.findall(r"'(\w+)'", text)}

    assert named(OPEN) == set(State) - CLOSED
    assert named(FLYING) == IN_FLIGHT


async def test_file_is_durable_private_and_marked_as_ours(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.append(delivery(match()))
        pragmas = await journal._thread.read(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "application_id", "user_version")
            ]
        )
    assert pragmas == ["wal", 2, 1, APPLICATION_ID, len(MIGRATIONS)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_connection_lives_in_one_thread_that_ends_with_it(tmp_path):
    seen = set()
    async with open_journal(tmp_path / "journal.db") as journal:
        for _ in range(3):
            await journal._thread.read(lambda _: seen.add(threading.current_thread()))
        assert len(seen) == 1
        assert threading.current_thread() not in seen
    thread = seen.pop()
    thread.join(scaled(5))
    assert not thread.is_alive()


async def test_append_that_fails_half_way_stores_nothing(tmp_path):
    broken = Quarantined("problem", None)  # type: ignore[arg-type] - fails after the remediation was inserted
    async with open_journal(tmp_path / "journal.db") as journal:
        with pytest.raises(AttributeError):
            await journal.append(delivery(match(), quarantined=(broken,)))
        assert await journal.listing() == []
        assert len((await journal.append(delivery(match()))).opened) == 1


async def test_record_can_be_changed_by_nobody(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        await journal.append(delivery(match()))
        for statement in ("UPDATE record SET kind = 'other'", "DELETE FROM remediation"):
            with pytest.raises(JournalError, match="never"):
                await journal._thread.write(lambda connection, text=statement: connection.execute(text))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is no database at all, but it is long enough to be one" * 20, "not an SQLite database"),
        (None, "damaged"),
    ],
)
async def test_file_that_is_no_journal_is_refused_with_words(tmp_path, content, words):
    path = tmp_path / "journal.db"
    if content is None:
        async with open_journal(path) as journal:
            for number in range(60):
                await journal.append(delivery(match(f"policy-{number}")))
        damaged = bytearray(path.read_bytes())
        damaged[4096 * 2 : 4096 * 6] = b"\xff" * (4096 * 4)
        content = bytes(damaged)
    path.write_bytes(content)
    with pytest.raises(JournalError, match=words) as caught:
        async with open_journal(path):
            pass
    assert str(path) in str(caught.value)


async def test_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        async with open_journal(path):
            pass
    assert path.read_bytes() == before


async def test_journal_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal._thread.read(lambda _: None)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(JournalError, match="upgrade"):
        async with open_journal(path):
            pass


async def test_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.append(delivery(match()))
    steps = (*MIGRATIONS, ("CREATE TABLE later (x)", "CREATE TABLE later (x)"))
    with monkeypatch.context() as patch:
        patch.setattr("remediations.journal.sqlite.migrations.MIGRATIONS", steps)
        with pytest.raises(JournalError, match="already exists"):
            async with open_journal(path):
                pass
    async with open_journal(path) as journal:
        assert len(await journal.listing()) == 1


async def test_later_migration_keeps_what_is_stored(tmp_path, monkeypatch):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.append(delivery(match()))
    monkeypatch.setattr(
        "remediations.journal.sqlite.migrations.MIGRATIONS",
        (*MIGRATIONS, ("ALTER TABLE pause ADD COLUMN colour TEXT",)),
    )
    async with open_journal(path) as journal:
        assert len(await journal.listing()) == 1


async def test_directory_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(JournalError, match="No such file or directory"):
        async with open_journal(tmp_path / "nowhere" / "journal.db"):
            pass


async def test_read_only_journal_can_be_read_and_says_that_it_cannot_be_written(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path) as journal:
        await journal.append(delivery(match()))
        await journal._thread.write(lambda _: None)
        await journal._thread.read(lambda _: None)
        await journal._thread._run(
            lambda _: journal._thread._connection.execute("PRAGMA query_only = ON")  # what a read-only mount does
        )
        assert len(await journal.listing()) == 1
        for attempt in (journal.append(delivery(match("other"))), journal.check_integrity()):
            with pytest.raises(JournalError, match="cannot be written"):
                await attempt


async def test_full_disk_stores_nothing_and_heals_with_space(tmp_path):
    """SQLite's own page limit answers SQLITE_FULL exactly as a full disk does."""
    async with open_journal(tmp_path / "journal.db") as journal:
        await journal.append(delivery(match()))

        def limit(pages: int) -> None:
            journal._thread._connection.execute(f"PRAGMA max_page_count = {pages}")

        await journal._thread._run(lambda _: limit(1))
        big = tuple(match(f"policy-{number}") for number in range(500))
        with pytest.raises(JournalError, match="the disk is full"):
            await journal.append(delivery(*big))
        assert len(await journal.listing(limit=1000)) == 1
        await journal._thread._run(lambda _: limit(100_000))
        assert len((await journal.append(delivery(*big))).opened) == 500


async def test_file_size_limit_of_the_system_is_reported_by_check(tmp_path):
    """A real refusal by the kernel (EFBIG; Python ignores SIGXFSZ): only what is really written can meet it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with open_journal(tmp_path / "journal.db") as journal:
        await journal.check_integrity()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            with pytest.raises(JournalError, match="disk"):
                await journal.check_integrity()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await journal.check_integrity()


async def test_lock_of_another_process_ends_in_words_within_the_time(tmp_path):
    path = tmp_path / "journal.db"
    async with open_journal(path, timeout_seconds=0.4) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(JournalError, match="locked"):
                await journal.append(delivery(match()))
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert len((await journal.append(delivery(match()))).opened) == 1


async def test_work_that_took_too_long_is_rolled_back(tmp_path):
    async with open_journal(tmp_path / "journal.db", timeout_seconds=0.2) as journal:
        release = threading.Event()

        def slow(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO quarantine (at, problem, raw) VALUES (1, 'p', 'r')")
            release.wait(scaled(5))

        with pytest.raises(JournalError, match="did not answer"):
            await journal._thread.write(slow)
        release.set()
        assert (await journal.counts())[State.QUARANTINED] == 0


async def test_cancelled_work_that_still_waits_is_never_done(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        release, begun = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def block(_connection: sqlite3.Connection) -> None:
            loop.call_soon_threadsafe(begun.set)
            release.wait(scaled(5))

        async with asyncio.TaskGroup() as group:
            group.create_task(journal._thread.read(block))
            await begun.wait()
            waiting = group.create_task(journal.append(delivery(match())))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
            release.set()
        assert await journal.listing() == []


async def test_closed_journal_says_so(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        pass
    with pytest.raises(JournalError, match="closed"):
        await journal.listing()


async def test_journal_that_was_not_opened_says_so(tmp_path):
    thread = SqliteThread(tmp_path / "journal.db", 1)
    with pytest.raises(JournalError, match="closed"):
        await thread.read(lambda _: None)
    await thread.close()


async def test_disk_that_hangs_when_closing_is_reported(tmp_path):
    thread, release = SqliteThread(tmp_path / "journal.db", 10.0), threading.Event()
    await thread.open()
    # Only now: opening takes longer than this on a busy machine.
    thread._timeout_seconds = 0.2
    with pytest.raises(JournalError, match="did not answer"):
        await thread.read(lambda _: release.wait(scaled(5)))
    with pytest.raises(JournalError, match="when closing"):
        await thread.close()
    release.set()


async def test_unexpected_database_error_keeps_its_own_words(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        with pytest.raises(JournalError, match="no such table: absent"):
            await journal._thread.read(lambda connection: connection.execute("SELECT * FROM absent"))


async def test_claim_of_a_forgotten_remediation_is_lost(tmp_path):
    async with open_journal(tmp_path / "journal.db") as journal:
        await journal.append(delivery(match()))
        claim = await journal.claim("one", T0, 10)
        await journal.advance(claim, State.CLAIMED, State.EXPIRED, T0, change())
        await journal.prune(T0 + 86400)
        with pytest.raises(FenceLostError, match="not in the journal"):
            await journal.renew(claim, T0 + 1, 10)


async def test_hundred_thousand_ids_are_unique_and_sorted():
    source = IdSource()
    ids = [source.make(T0) for _ in range(100_000)]
    assert ids == sorted(set(ids))
