"""Why a journal did not do what was asked."""

from __future__ import annotations

from chassis.errors import ControlCoreError


class JournalError(ControlCoreError):
    """The journal cannot do what was asked now (locked, full, corrupt): nothing was changed."""


class DamagedJournalError(JournalError):
    """The file is no SQLite database, or a damaged one: it never becomes readable again."""


class UnseenJournalError(JournalError):
    """The file may be well: it is locked, or this user may not read it."""


class FenceLostError(JournalError):
    """The caller's claim is not the newest any more, or its lease has run out: it must stop and write nothing."""


class TargetBusyError(JournalError):
    """Another remediation is in flight on the same target."""


class AlreadyServedError(JournalError):
    """Another process that lives serves this journal; the message says which."""


class DamagedRecordError(JournalError):
    """Something that is stored cannot be read; the message names table, id and field. It stays as it is."""

    def __init__(self, table: str, key: object, problem: str) -> None:
        super().__init__(f"{table} {key}: {problem}")
        self.key = key
