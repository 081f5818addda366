"""The errors of a journal."""

from __future__ import annotations

from chassis.errors import ControlCoreError


class JournalError(ControlCoreError):
    """The journal cannot do this now (locked, full, corrupt): nothing was changed."""


class DamagedJournalError(JournalError):
    """The file is not an SQLite database, or is damaged: retrying does not help."""


class UnseenJournalError(JournalError):
    """The file may be well: it is locked, or this user may not read it."""


class FenceLostError(JournalError):
    """The caller's claim has been replaced, or its lease has expired: it must stop and write nothing."""


class TargetBusyError(JournalError):
    """Another remediation is in flight on the same target."""


class AlreadyServedError(JournalError):
    """Another live process serves this journal; the message names it."""


class DamagedRecordError(JournalError):
    """Something that is stored cannot be read; the message names table, id and field. It stays as it is."""

    def __init__(self, table: str, key: object, problem: str) -> None:
        super().__init__(f"{table} {key}: {problem}")
        self.key = key
