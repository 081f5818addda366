"""Checks of the journal: its file, its disk, the process that serves it, overdue remediations, and pauses."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from shlex import quote

from chassis.output.findings import Finding, Severity, unchecked
from remediations.commands.doctor.installation import Installation, shell_word
from remediations.commands.output.text import age_words
from remediations.core.model.errors import DamagedJournalError, JournalError, UnseenJournalError
from remediations.facts.pause_file import read_pauses
from remediations.journal.sqlite.inspection import (
    SCHEMA,
    JournalLook,
    find_server,
    find_serving_processes,
    free_bytes,
    log_bytes,
    look_into,
)

OVERDUE_SECONDS = 300.0
"""A running program begins due remediations within seconds."""
OLD_SECONDS = 24 * 3600.0
"""Policies close remediations that they cannot do within minutes; only a revert may wait up to a day."""
MIB = 1024 * 1024


async def check_journal(place: Installation, check: str) -> list[Finding]:
    """The file: writable, of this version, on a disk with free space. A missing file is created by `serve`."""
    return await asyncio.to_thread(_judge, place, check)


def _judge(place: Installation, check: str) -> list[Finding]:
    """The same; blocks on the disk. A file that may not be read is reported once."""
    path = place.settings.journal.path
    try:
        closed, disk = _closed(place, check), _disk(place, check)
    except OSError as error:  # not even the folder is readable
        closed, disk = [unchecked(check, str(error), _look_at(path))], []
    try:
        return [*closed, *disk, *_content(place, check)]
    except UnseenJournalError as error:
        return [*(closed or [unchecked(check, f"{path}: {error}", _look_at(path))]), *disk]


def _disk(place: Installation, check: str) -> list[Finding]:
    """The faults of the file's disk."""
    journal = place.settings.journal
    path = journal.path
    if not path.parent.is_dir():
        return []  # reported as a fault of the settings
    found: list[Finding] = []
    folder = shell_word(path.parent)
    try:
        free, log = free_bytes(path), log_bytes(path)
    except OSError as error:
        evidence = f"{path}: {error.strerror}"
        return [*found, Finding(Severity.UNKNOWN, check, "the disk is not checked", evidence, f"df -h {folder}")]
    if log > journal.max_log_bytes:
        problem = "the write-ahead log is over its limit: new alerts are answered 503"
        evidence = f"{path}-wal has {log // MIB} MiB, journal.max_log_bytes allows {journal.max_log_bytes // MIB} MiB"
        remedy = f"fuser -v {shell_word(path)}   # end the process that reads it"
        found.append(Finding(Severity.ERROR, check, problem, evidence, remedy))
    elif free < journal.max_log_bytes:
        problem = "the journal's disk is nearly full: its write-ahead log alone may need more than is free"
        evidence = (
            f"{free // MIB} MiB free at {path.parent}, journal.max_log_bytes allows {journal.max_log_bytes // MIB} MiB"
        )
        remedy = f"df -h {folder}   # free or enlarge it, or lower journal.keep_days and journal.max_log_bytes"
        found.append(Finding(Severity.WARNING, check, problem, evidence, remedy))
    return found


def _closed(place: Installation, check: str) -> list[Finding]:
    """The finding for a journal that this user may not write; with another user the program may be able to."""
    path, user = place.settings.journal.path, os.getuid()
    places = (path.parent, path) if os.access(path.parent, os.X_OK) else (path.parent,)
    closed = [each for each in places if each.exists() and not os.access(each, os.W_OK)]
    if not closed:
        return []
    evidence = f"user {user} may not write {' and '.join(map(str, closed))}"
    owner = closed[-1].stat().st_uid
    if owner != user:
        remedy = (
            f"sudo -u '#{owner}' {place.command} doctor   # as the program's user\n"
            f"chown -R {user} {shell_word(path.parent)}   # only if the program runs as user {user}"
        )
        return [unchecked(check, f"{evidence}, which belongs to user {owner}", remedy)]
    problem = "the journal cannot be written: every alert is answered 503"
    remedy = f"chmod -R u+rwX {shell_word(path.parent)}   # or mount it writable"
    return [Finding(Severity.ERROR, check, problem, evidence, remedy)]


def _content(place: Installation, check: str) -> list[Finding]:
    """The faults of the file's content; raises UnseenJournalError."""
    path = place.settings.journal.path
    try:
        look = _read_journal(place)
    except UnseenJournalError:
        raise
    except JournalError as error:
        remedy = _put_aside(path) if isinstance(error, DamagedJournalError) else _look_at(path)
        return [Finding(Severity.ERROR, check, "the journal cannot be read", f"{path}: {error}", remedy)]
    if look is None:
        return []
    if look.schema > SCHEMA:
        problem = "the journal belongs to a newer version of this program; this version refuses to start"
        evidence = f"{path} has schema {look.schema}, this program supports up to {SCHEMA}"
        remedy = "install the newer version again, or downgrade the journal as docs/remediations/README.md describes"
        return [Finding(Severity.ERROR, check, problem, evidence, remedy)]
    if look.schema < SCHEMA:
        evidence = f"{path} has schema {look.schema}, this program has {SCHEMA}"
        problem = "the journal belongs to an older version; the next start upgrades it"
        shown = shell_word(path)
        copying = f"for end in '' -wal; do cp -p {shown}$end {shown}.bak$end; done"
        remedy = f"{copying}   # after stopping the program; usually there is no -wal then"
        return [Finding(Severity.INFO, check, problem, evidence, remedy)]
    return _waiting(place, check, look)


def _put_aside(path: Path) -> str:
    """The commands that move a damaged journal away.

    Its write-ahead log must go with it: SQLite would apply it to the new file
    (https://www.sqlite.org/howtocorrupt.html, 1.4).
    """
    return (
        "stop the program, then:\n"
        f"for end in '' -wal -shm; do mv {shell_word(path)}$end {shell_word(path)}.bad$end; done\n"
        "# restore a copy, or start the program without one: cooldowns and earlier writes are then unknown"
    )


def _look_at(path: Path) -> str:
    """The commands for a journal that may be intact: moving it away would lose the record of writes."""
    shown = shell_word(path)
    return (
        f"ls -l {shown}; fuser -v {shown}   # check its rights and which process has it open, or correct journal.path"
    )


def _read_journal(place: Installation) -> JournalLook | None:
    """The file's state; None without a file. Raises JournalError."""
    path = place.settings.journal.path
    try:
        return look_into(path, place.clock.now()) if path.is_file() and path.stat().st_size else None
    except OSError as error:
        raise UnseenJournalError(str(error.strerror)) from error


def _waiting(place: Installation, check: str, look: JournalLook) -> list[Finding]:
    """Remediations that no program works on, or that stay open for too long."""
    now, found = place.clock.now(), []
    if look.overdue_at is not None and now - look.overdue_at > OVERDUE_SECONDS:
        problem = "no program works on the journal"
        evidence = f"a remediation has been due for {age_words(now - look.overdue_at)}"
        remedy = f"{place.command} serve   # is it running? if it is, its log says why it is stuck"
        found.append(Finding(Severity.ERROR, check, problem, evidence, remedy))
    elif look.oldest is not None and now - look.oldest.created_at > OLD_SECONDS:
        oldest = look.oldest
        evidence = f"{oldest.id} ({oldest.policy}) is {oldest.state} since {age_words(now - oldest.created_at)}"
        remedy = f"{place.command} show {oldest.id}"
        found.append(
            Finding(Severity.WARNING, check, "a remediation has been open for more than a day", evidence, remedy)
        )
    return found


async def check_pauses(place: Installation, check: str) -> list[Finding]:
    """Pauses in force: nothing is repaired meanwhile, and a pause is easy to forget."""
    return await asyncio.to_thread(_pauses, place, check)


def _pauses(place: Installation, check: str) -> list[Finding]:
    """A finding for each."""
    try:
        look = _read_journal(place)
    except JournalError:
        look = None  # reported by the journal's own check
    stored = () if look is None else look.pauses
    found = []
    for pause in read_pauses(place.settings.pause_file, stored):
        remedy = f"{place.command} resume {quote(pause.name)}"
        if pause not in stored:
            if problem := _find_closed(Path(pause.owner)):
                found.append(unchecked(check, problem, f"as the program's user: {place.command} doctor"))
                continue
            remedy = f"rm {quote(pause.owner)}"
        evidence = f"pause {pause.name} by {pause.owner}, {pause.reason}"
        found.append(Finding(Severity.WARNING, check, f"a pause stops {pause.scope}", evidence, remedy))
    return found


def _find_closed(path: Path) -> str:
    """Why it is unknown whether a file exists; empty if it is known."""
    try:
        path.exists()
    except OSError as error:
        return str(error)
    return ""


async def check_servers(place: Installation, check: str) -> list[Finding]:
    """Whether exactly one program serves the journal."""
    path = place.settings.journal.path
    serving = await asyncio.to_thread(find_serving_processes, path)
    if len(serving.known) > 1:
        shown = ", ".join(map(str, serving.known))
        problem = "several programs serve this journal: each one receives, decides and announces"
        evidence = f"processes {shown} have {path} open (journal.is_shared_accepted lets them)"
        first = serving.known[0]
        remedy = f"kill {first}   # or any other that should not run; then set journal.is_shared_accepted to false"
        return [Finding(Severity.ERROR, check, problem, evidence, remedy)]
    if serving.hidden:
        evidence = f"processes {', '.join(map(str, serving.hidden))} of other users serve an unknown journal"
        return [unchecked(check, evidence, f"as root: {place.command} doctor")]
    try:
        holder = await asyncio.to_thread(find_server, path)
    except OSError as error:
        return [unchecked(check, str(error), f"as the program's user: {place.command} doctor")]
    if holder and not serving.known:
        evidence = f"{holder} serves {path} and is not among the visible processes, so others may be hidden too"
        return [unchecked(check, evidence, f"in the container of the program: {place.command} doctor")]
    return []
