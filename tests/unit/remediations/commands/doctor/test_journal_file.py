"""The journal as a second process sees it."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chassis.output.findings import Finding
from remediations.commands.doctor.journal_file import check_journal, check_pauses, check_servers
from remediations.core.model.alert import Delivery, Match
from remediations.core.model.facts import Pause
from remediations.journal.sqlite import inspection
from remediations.journal.sqlite.adapter import open_journal
from remediations.journal.sqlite.inspection import (
    SCHEMA,
    ServingProcesses,
    find_server,
    find_serving_processes,
    look_into,
)
from remediations.settings import RemediatorSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, NOW, SAM, an_alert
from tests.fakes.installation import a_place, found_by
from tests.fakes.waiting import wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder whose name a shell would split: printed commands quote it as one word."""
    folder = tmp_path / "a volume"
    folder.mkdir()
    return folder / "journal.db"


async def fill(path: Path, *, received_at: float = NOW) -> None:
    """One unclaimed remediation."""
    async with open_journal(path) as journal:
        await journal.append(Delivery(received_at, (Match(an_alert(), "restart-api", API),)))


def place_of(path: Path, now: float = NOW, **journal: Any) -> Any:
    settings = RemediatorSettings(journal={"path": path, **journal}, pause_file=path.with_name("pause"))
    return a_place(settings=settings, clock=ManualClock(now))


def judged(path: Path, now: float = NOW, **journal: Any) -> list[Finding]:
    return asyncio.run(found_by(check_journal, place_of(path, now, **journal)))


def test_journal_that_is_not_there_yet_is_no_finding_and_is_not_made(path: Path) -> None:
    assert judged(path) == []
    assert list(path.parent.iterdir()) == []
    assert judged(path.parent / "none" / "journal.db") == []


def test_good_journal_has_no_finding_and_stays_as_it_is(path: Path) -> None:
    asyncio.run(fill(path))
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    assert judged(path) == []
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


def test_journal_that_is_being_served_is_read_with_its_log(path: Path) -> None:
    async def serve() -> list[Finding]:
        async with open_journal(path) as journal:
            await journal.append(Delivery(NOW, (Match(an_alert(), "restart-api", API),)))
            return await found_by(check_journal, place_of(path, NOW + 400.0))

    assert [item.check for item in asyncio.run(serve())] == ["check"]


@pytest.mark.parametrize(
    ("age", "severity", "words"),
    [(200.0, None, ""), (400.0, "error", "no program works"), (90000.0, "error", "no program works")],
)
def test_what_is_due_and_not_taken_up_is_told(path: Path, age: float, severity: str | None, words: str) -> None:
    asyncio.run(fill(path))
    found = judged(path, NOW + age)
    assert [(item.severity.value, words in item.problem) for item in found] == ([(severity, True)] if severity else [])


def test_remediation_that_stays_open_for_a_day_is_told(path: Path) -> None:
    asyncio.run(fill(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE remediation SET next_at = ?", (NOW + 90001.0,))
    (found,) = judged(path, NOW + 90000.0)
    assert (found.severity.value, " show " in found.remedy) == ("warning", True)


@pytest.mark.parametrize(("schema", "severity"), [(SCHEMA + 1, "error"), (SCHEMA - 1, "info")])
def test_schema_of_another_version_is_told(path: Path, schema: int, severity: str) -> None:
    asyncio.run(fill(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema}")
    (found,) = judged(path)
    assert (found.severity.value, f"schema {schema}" in found.evidence) == (severity, True)


def test_file_that_is_no_journal_is_told(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)
    (found,) = judged(path)
    assert "not an SQLite database" in found.evidence
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (b)")
    (foreign,) = judged(path)
    assert "another program" in foreign.evidence
    assert "mv " not in foreign.remedy


def refusal(code: int) -> Callable[..., None]:
    """SQLite as it is where it may not open the file."""

    def refuse(*_: Any, **__: Any) -> None:
        error = sqlite3.OperationalError("refused")
        error.sqlite_errorcode = code
        raise error

    return refuse


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM])
def test_journal_that_may_not_be_read_now_is_unknown(path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(path))
    monkeypatch.setattr(sqlite3, "connect", refusal(code))
    (found,) = judged(path)
    assert (found.severity.value, found.problem, "(refused)" in found.evidence) == ("unknown", "not checked", True)


def test_journal_that_another_program_keeps_locked_is_unknown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(path))
    monkeypatch.setattr(inspection, "WAIT_SECONDS", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("UPDATE remediation SET next_at = next_at + 1")
        path.with_name("journal.db-shm").touch()  # SQLite keeps none while it is alone with the file
        (found,) = judged(path)
    assert (found.severity.value, "locked" in found.evidence, "mv " in found.remedy) == ("unknown", True, False)


@pytest.mark.parametrize("question", ["is_dir", "exists", "is_file"])
def test_journal_in_a_closed_folder_is_unknown_once(path: Path, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(path))

    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, question, refuse)
    assert [(each.severity.value, "Permission denied" in each.evidence) for each in judged(path)] == [("unknown", True)]


def test_unreadable_journal_of_another_user_is_told_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(path))
    owner = os.getuid()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    monkeypatch.setattr(sqlite3, "connect", refusal(sqlite3.SQLITE_CANTOPEN))
    assert [(each.severity.value, "sudo -u" in each.remedy) for each in judged(path)] == [("unknown", True)]


@pytest.mark.parametrize("others", [(), ("-wal",), ("-shm", "-wal")])
def test_copied_journal_gets_no_file_beside_it(path: Path, others: tuple[str, ...]) -> None:
    """SQLite leaves a log or its index when it opens a journal that no process serves."""
    copy = path.with_name("copy.db")

    async def serve() -> None:
        async with open_journal(path) as journal:
            await journal.append(Delivery(NOW, (Match(an_alert(), "restart-api", API),)))
            for end in ("", *others):
                shutil.copy(f"{path}{end}", f"{copy}{end}")

    asyncio.run(fill(path))
    asyncio.run(serve())
    asyncio.run(found_by(check_journal, place_of(copy)))
    assert sorted(each.name for each in path.parent.glob("copy.db*")) == [f"copy.db{end}" for end in ("", *others)]
    if others:
        assert look_into(copy, NOW).oldest is not None


def test_damaged_journal_is_put_aside_together_with_its_log(path: Path) -> None:
    """SQLite would read a log that stays behind into the new file."""
    path.write_bytes(b"this is no database " * 500)
    (found,) = judged(path)
    for end in ("-wal", "-shm"):
        path.with_name(f"{path.name}{end}").write_bytes(b"")
    first, loop, _ = found.remedy.splitlines()
    subprocess.run(["sh", "-ec", loop], check=True)
    assert "stop the program" in first
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "journal.db.bad",
        "journal.db.bad-shm",
        "journal.db.bad-wal",
    ]


def test_folder_that_may_not_be_written_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    (found,) = judged(path)
    assert (found.severity.value, found.remedy) == ("error", f"chmod -R u+rwX '{path.parent}'   # or mount it writable")


def test_folder_of_another_user_says_nothing_about_the_program(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    (found,) = judged(path)
    assert (found.severity.value, f"sudo -u '#{owner}'" in found.remedy) == ("unknown", True)


def test_disk_and_log_are_compared_with_the_limit(path: Path) -> None:
    asyncio.run(fill(path))
    (full,) = judged(path, max_log_bytes=2**62)
    assert "nearly full" in full.problem
    path.with_name("journal.db-wal").write_bytes(b"\0" * (1024 * 1024 + 1))
    (long,) = judged(path, max_log_bytes=1024 * 1024)
    assert "over its limit" in long.problem


def test_pauses_of_journal_and_file_are_told_with_what_ends_each(path: Path) -> None:

    async def pause() -> None:
        async with open_journal(path) as journal:
            await journal.pause(Pause("night", "ann", "tables move", None), NOW, SAM)
            await journal.pause(Pause("over", "ann", "was short", NOW - 1), NOW - 10, SAM)

    asyncio.run(pause())
    path.with_name("pause").write_text("stop\n")
    found = asyncio.run(found_by(check_pauses, place_of(path)))
    ends = [shlex.split(item.remedy)[-2:] for item in found]
    assert ends == [["resume", "night"], ["rm", str(path.with_name("pause"))]]


def test_pause_file_counts_although_the_journal_cannot_be_read(path: Path) -> None:
    path.write_bytes(b"no database " * 500)
    path.with_name("pause").touch()
    assert len(asyncio.run(found_by(check_pauses, place_of(path)))) == 1


def test_pause_file_in_a_closed_folder_is_unknown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program counts a file that cannot be checked as existing."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "exists", refuse)
    (found,) = asyncio.run(found_by(check_pauses, place_of(path)))
    assert (found.severity.value, "Permission denied" in found.evidence) == ("unknown", True)


def test_server_is_known_by_its_lock_and_its_open_file(path: Path) -> None:
    async def serve() -> str:
        async with open_journal(path) as journal:
            await journal.release_orphaned_claims()
            return await asyncio.to_thread(find_server, path)

    assert find_server(path) == ""
    assert f"process {os.getpid()} on " in asyncio.run(serve())
    assert find_server(path) == ""
    assert find_serving_processes(path) == ServingProcesses()


def test_several_servers_are_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "remediations.commands.doctor.journal_file.find_serving_processes", lambda _: ServingProcesses((7, 8))
    )
    (found,) = asyncio.run(found_by(check_servers, place_of(path)))
    assert (found.severity.value, "processes 7, 8" in found.evidence) == ("error", True)


def test_processes_of_other_users_are_unknown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = path.with_name("proc")
    for number, words in ((5, "controlcore-remediator serve"), (6, "ollama serve"), (7, "controlcore-remediator list")):
        (processes / str(number) / "fd").mkdir(parents=True)
        (processes / str(number) / "cmdline").write_bytes(words.replace(" ", "\0").encode())

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    serving = find_serving_processes(path, processes)
    assert serving == ServingProcesses(hidden=(5,))
    monkeypatch.setattr("remediations.commands.doctor.journal_file.find_serving_processes", lambda _: serving)
    (found,) = asyncio.run(found_by(check_servers, place_of(path)))
    assert (found.severity.value, "processes 5 of other users" in found.evidence) == ("unknown", True)


def test_server_in_another_container_is_unknown(path: Path) -> None:
    async def serve() -> list[Finding]:
        async with open_journal(path) as journal:
            await journal.release_orphaned_claims()
            return await found_by(check_servers, place_of(path))

    (found,) = asyncio.run(serve())  # this process serves, but its arguments do not show it
    assert (found.severity.value, f"process {os.getpid()} on " in found.evidence) == ("unknown", True)
    assert asyncio.run(found_by(check_servers, place_of(path))) == []


def test_only_a_process_that_serves_this_file_counts(path: Path) -> None:
    path.touch()
    code = f"import sys; f = open({str(path)!r}); print(flush=True); sys.stdin.read()"
    arguments = ((sys.executable, "-c", code, "serve"), (sys.executable, "-c", code, "list"))
    running = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for each in arguments]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        wait_for(lambda: find_serving_processes(path) == ServingProcesses((running[0].pid,)))
    finally:
        for process in running:
            process.communicate()


def test_look_names_the_oldest(path: Path) -> None:
    asyncio.run(fill(path))
    oldest = look_into(path, NOW).oldest
    assert oldest is not None
    assert (oldest.policy, oldest.state, oldest.created_at) == ("restart-api", "received", NOW)
