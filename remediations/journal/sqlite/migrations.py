"""The tables of the SQLite journal, as numbered steps that only go forward.

A released step is never edited; a further change is a new step. The indexes contain the lists of states as text; a test
compares them with `remediations.core.model.remediation`.
"""

from __future__ import annotations

import sqlite3

from remediations.core.model.errors import JournalError

APPLICATION_ID = 0x43435244
"""PRAGMA application_id of a journal, so that another program's database is never changed."""
LOG_BYTES = 16 * 1024 * 1024
"""The write-ahead log is truncated to this size once all of it is in the database file (PRAGMA journal_size_limit)."""
OPEN = "state IN ('received', 'claimed', 'held', 'planned', 'writing', 'verifying')"
FLYING = "state IN ('planned', 'writing', 'verifying')"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE remediation (
            id TEXT PRIMARY KEY,
            policy TEXT NOT NULL,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            state TEXT NOT NULL,
            alert TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            fence INTEGER NOT NULL DEFAULT 0,
            worker TEXT,
            lease_until REAL,
            next_at REAL NOT NULL,
            operation_id TEXT,
            reason TEXT NOT NULL DEFAULT '',
            plan TEXT,
            written_at REAL,
            attempts INTEGER NOT NULL DEFAULT 0,
            is_resolved INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        f"CREATE UNIQUE INDEX one_open ON remediation (policy, namespace, kind, name) WHERE {OPEN}",
        f"CREATE UNIQUE INDEX one_in_flight ON remediation (namespace, kind, name) WHERE {FLYING}",
        f"CREATE INDEX due ON remediation (next_at, id) WHERE {OPEN}",
        "CREATE INDEX by_state ON remediation (state, updated_at)",
        "CREATE INDEX by_write ON remediation (written_at) WHERE written_at IS NOT NULL",
        """CREATE TABLE record (
            number INTEGER PRIMARY KEY,
            remediation TEXT NOT NULL REFERENCES remediation (id) ON DELETE CASCADE,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            state TEXT NOT NULL,
            data TEXT NOT NULL
        )""",
        "CREATE INDEX by_remediation ON record (remediation, number)",
        """CREATE TRIGGER record_never_changes BEFORE UPDATE ON record
            BEGIN SELECT RAISE(ABORT, 'a record is never changed'); END""",
        f"""CREATE TRIGGER open_never_goes BEFORE DELETE ON remediation WHEN OLD.{OPEN}
            BEGIN SELECT RAISE(ABORT, 'an open remediation is never removed'); END""",
        """CREATE TABLE quarantine (
            number INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            problem TEXT NOT NULL,
            raw TEXT NOT NULL
        )""",
        """CREATE TABLE pause (
            name TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            reason TEXT NOT NULL,
            until REAL,
            since REAL NOT NULL
        )""",
        "CREATE TABLE probe (one INTEGER PRIMARY KEY CHECK (one = 1), at REAL NOT NULL)",
    ),
    (
        """CREATE TABLE seen (
            policy TEXT NOT NULL,
            namespace TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            content TEXT NOT NULL,
            at REAL NOT NULL,
            remediation TEXT NOT NULL,
            PRIMARY KEY (policy, namespace, kind, name, content)
        ) WITHOUT ROWID""",
        "CREATE INDEX seen_at ON seen (at)",
        "CREATE TABLE arrival (at REAL NOT NULL, number INTEGER NOT NULL)",
        "CREATE INDEX arrival_at ON arrival (at)",
        """CREATE TABLE approval (
            number INTEGER PRIMARY KEY,
            remediation TEXT NOT NULL REFERENCES remediation (id) ON DELETE CASCADE,
            plan_hash TEXT NOT NULL,
            resource_version TEXT NOT NULL,
            answered_by TEXT NOT NULL,
            at REAL NOT NULL,
            expires_at REAL NOT NULL,
            is_approved INTEGER NOT NULL
        )""",
        "CREATE INDEX approval_of ON approval (remediation, number)",
        """CREATE TABLE breaker_reset (
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            reset_by TEXT NOT NULL,
            at REAL NOT NULL
        )""",
    ),
    (
        """CREATE TABLE act (
            number INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            source TEXT NOT NULL,
            name TEXT NOT NULL,
            claimed TEXT NOT NULL,
            address TEXT NOT NULL,
            detail TEXT NOT NULL
        )""",
        "CREATE INDEX act_at ON act (at)",
        """CREATE TRIGGER act_never_changes BEFORE UPDATE ON act
            BEGIN SELECT RAISE(ABORT, 'an act is never changed'); END""",
    ),
    (
        "ALTER TABLE pause ADD COLUMN policy TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE pause ADD COLUMN target TEXT NOT NULL DEFAULT ''",
    ),
    (
        "ALTER TABLE record ADD COLUMN packed BLOB",
        "ALTER TABLE record ADD COLUMN base INTEGER",
    ),
)


def prepare(connection: sqlite3.Connection, *, is_checked: bool = True) -> None:
    """Sets what every connection needs, refuses a damaged or foreign file, and brings the tables up to date.

    WAL lets the command line read while the program writes; synchronous=FULL makes a commit survive a power cut
    (https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous).
    """
    if is_checked:
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise JournalError(f"the journal is damaged: {answer}")
    _require_ours(connection)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    _migrate(connection)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    """A whole number that SQLite keeps in the file's header."""
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _require_ours(connection: sqlite3.Connection) -> None:
    """Raises JournalError for another program's database, or for a newer version of this program."""
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not is_empty and _number(connection, "application_id") != APPLICATION_ID:
        raise JournalError("the file is a database of another program")
    version = _number(connection, "user_version")
    if version > len(MIGRATIONS):
        raise JournalError(f"the journal has schema {version}, this program knows up to {len(MIGRATIONS)}: upgrade it")


def _migrate(connection: sqlite3.Connection) -> None:
    """Applies the missing steps, all or none; the version is read again under the write lock."""
    if _number(connection, "user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[_number(connection, "user_version") :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
