"""What people answer, in the SQLite journal. A part of `remediations.journal.sqlite`."""

from __future__ import annotations

import sqlite3

from remediations.circumstances import Approval, BreakerReset
from remediations.journal import sqlite_statements as sql
from remediations.journal.errors import JournalError
from remediations.journal.sqlite_history import SqliteHistory
from remediations.journal.sqlite_rows import to_json, to_text
from remediations.states import CLOSED, State


class SqliteAnswers(SqliteHistory):
    """Approvals, and breakers closed by hand."""

    async def answer(self, approval: Approval, now: float) -> None:
        """Stores a person's answer to a plan, and makes the remediation due at once.

        Raises KeyError for an unknown remediation, JournalError for one that is closed.
        """

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(sql.ONE, (to_text(approval.remediation),)).fetchone()
            if row is None:
                raise KeyError(approval.remediation)
            if State(row["state"]) in CLOSED:
                raise JournalError(f"{row['id']} is closed ({row['state']}): there is nothing to answer")
            values = (row["id"], approval.plan_hash, approval.resource_version, to_text(approval.by), approval.at)
            connection.execute(sql.ANSWER, (*values, approval.expires_at, int(approval.is_approved)))
            connection.execute(sql.ANSWERED, (now, row["id"]))
            kind = "approved" if approval.is_approved else "rejected"
            data = {"by": approval.by, "plan_hash": approval.plan_hash, "resource_version": approval.resource_version}
            data |= {"detail": f"by {approval.by}"}
            connection.execute(sql.RECORD, (row["id"], now, kind, row["state"], to_json(data)))

        await self._thread.write(work)

    async def reset_breaker(self, reset: BreakerReset) -> None:
        """Notes that somebody closed the breaker of an action on a target."""
        values = (to_text(reset.action), to_text(reset.target), to_text(reset.by), reset.at)
        await self._thread.write(lambda connection: connection.execute(sql.RESET_BREAKER, values))

    async def last_entry_at(self) -> float | None:
        """Unix seconds of the newest record; None for a journal in which nothing ever stood."""
        rows = await self._select(sql.LAST_ENTRY)
        return None if not rows else float(rows[0]["at"])

    async def _select(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a question."""
        return await self._thread.read(lambda connection: connection.execute(query, values).fetchall())
