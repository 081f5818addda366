"""The history queries of decisions, in the SQLite journal. A part of `remediations.journal.sqlite.adapter`.

Each query is a function of the connection, so that a decision can run all of them in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from remediations.core.model.alert import Target
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Approval, BreakerReset, PastAction, Pause
from remediations.core.model.remediation import Remediation
from remediations.journal.port import MAX_ARRIVALS, DecisionHistory, HistorySpan
from remediations.journal.sqlite import statements as sql
from remediations.journal.sqlite.connection import SqliteThread
from remediations.journal.sqlite.rows import read_action, read_approval, read_breaker_reset, read_pause, to_text


class SqliteHistory:
    """Writes, arrivals, pauses, approvals and reset breakers."""

    def __init__(self, thread: SqliteThread) -> None:
        self._thread = thread

    async def recollect(self, remediation: Remediation, now: float, span: HistorySpan) -> DecisionHistory:
        """Everything that a decision about this remediation needs, at one moment."""

        def work(connection: sqlite3.Connection) -> DecisionHistory:
            return DecisionHistory(
                pauses=_pauses(connection, now),
                actions=_actions(connection, span.writes),
                in_flight=_in_flight(connection, remediation.target, remediation.id),
                arrivals=_arrivals(connection, span.arrivals),
                approval=find_approval(connection, remediation.id),
                breaker_resets=_breaker_resets(connection, span.writes),
            )

        return await self._thread.read(work)

    async def pauses(self, now: float) -> Sequence[Pause]:
        """The pauses in force, by name."""
        return await self._thread.read(lambda connection: _pauses(connection, now))

    async def actions_since(self, since: float) -> Sequence[PastAction]:
        """Writes made since then, newest first, over all targets."""
        return await self._thread.read(lambda connection: _actions(connection, since))

    async def in_flight(self, target: Target, *, other_than: str) -> Sequence[str]:
        """Ids of other remediations in flight on this target."""
        return await self._thread.read(lambda connection: _in_flight(connection, target, other_than))

    async def arrivals_since(self, since: float) -> Sequence[float]:
        """When new alerts arrived (Unix seconds), newest first; at most MAX_ARRIVALS."""
        return await self._thread.read(lambda connection: _arrivals(connection, since))

    async def approval(self, remediation_id: str) -> Approval | None:
        """The newest answer to a plan of this remediation, whether or not it is still valid."""
        return await self._thread.read(lambda connection: find_approval(connection, remediation_id))

    async def breaker_resets(self, since: float) -> Sequence[BreakerReset]:
        """The breakers that were reset since then, newest first."""
        return await self._thread.read(lambda connection: _breaker_resets(connection, since))


def read_pauses_only(path: Path, now: float, timeout_seconds: float) -> list[Pause]:
    """The pauses in force of a journal that another process may serve; it is neither created nor migrated here.

    Blocks on the disk. Raises JournalError, also for the schema of an older program, which stored no scope.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout_seconds, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return _pauses(connection, now)
    except (sqlite3.Error, IndexError) as error:
        raise JournalError(f"{path}: {error}") from error


def _pauses(connection: sqlite3.Connection, now: float) -> list[Pause]:
    return [read_pause(row) for row in connection.execute(sql.PAUSES, (now,)).fetchall()]


def _actions(connection: sqlite3.Connection, since: float) -> list[PastAction]:
    return [read_action(row) for row in connection.execute(sql.WRITTEN, (since,)).fetchall()]


def _in_flight(connection: sqlite3.Connection, target: Target, other_than: str) -> list[str]:
    names = (to_text(target.namespace), to_text(target.kind), to_text(target.name))
    return [str(row["id"]) for row in connection.execute(sql.IN_FLIGHT, (*names, other_than)).fetchall()]


def _arrivals(connection: sqlite3.Connection, since: float) -> list[float]:
    arrivals: list[float] = []
    for row in connection.execute(sql.ARRIVALS, (since,)).fetchall():
        arrivals += [float(row["at"])] * min(int(row["number"]), MAX_ARRIVALS - len(arrivals))
    return arrivals


def find_approval(connection: sqlite3.Connection, remediation_id: str) -> Approval | None:
    """The newest answer to a plan of this remediation, inside the caller's transaction."""
    row = connection.execute(sql.APPROVAL, (to_text(remediation_id),)).fetchone()
    return None if row is None else read_approval(row)


def _breaker_resets(connection: sqlite3.Connection, since: float) -> list[BreakerReset]:
    return [read_breaker_reset(row) for row in connection.execute(sql.BREAKER_RESETS, (since,)).fetchall()]
