"""What people answered and what arrived, in the SQLite journal. A part of `remediations.journal.sqlite`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from remediations.circumstances import Approval, BreakerReset
from remediations.journal import sqlite_statements as sql
from remediations.journal.port import MAX_ARRIVALS, JournalError
from remediations.journal.sqlite_rows import to_json, to_text
from remediations.journal.sqlite_thread import SqliteThread
from remediations.states import CLOSED, State


class SqliteAnswers:
    """Approvals, arrivals and breakers closed by hand."""

    def __init__(self, thread: SqliteThread) -> None:
        self._thread = thread

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

    async def approval(self, remediation_id: str) -> Approval | None:
        """The newest answer to a plan of this remediation, whether it still holds or not."""
        rows = await self._select(sql.APPROVAL, to_text(remediation_id))
        return None if not rows else _read_approval(rows[0])

    async def arrivals_since(self, since: float) -> Sequence[float]:
        """When alerts that were not known before arrived (Unix seconds), newest first; at most MAX_ARRIVALS."""
        arrivals: list[float] = []
        for row in await self._select(sql.ARRIVALS, since):
            arrivals += [float(row["at"])] * min(int(row["number"]), MAX_ARRIVALS - len(arrivals))
        return arrivals

    async def reset_breaker(self, reset: BreakerReset) -> None:
        """Notes that somebody closed the breaker of an action on a target."""
        values = (to_text(reset.action), to_text(reset.target), to_text(reset.by), reset.at)
        await self._thread.write(lambda connection: connection.execute(sql.RESET_BREAKER, values))

    async def breaker_resets(self, since: float) -> Sequence[BreakerReset]:
        """The breakers that were closed by hand since then, newest first."""
        rows = await self._select(sql.BREAKER_RESETS, since)
        return [BreakerReset(row["action"], row["target"], row["reset_by"], row["at"]) for row in rows]

    async def last_entry_at(self) -> float | None:
        """Unix seconds of the newest record; None for a journal in which nothing ever stood."""
        rows = await self._select(sql.LAST_ENTRY)
        return None if not rows else float(rows[0]["at"])

    async def _select(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a question."""
        return await self._thread.read(lambda connection: connection.execute(query, values).fetchall())


def _read_approval(row: sqlite3.Row) -> Approval:
    """A row of the table `approval`."""
    return Approval(
        remediation=row["remediation"],
        plan_hash=row["plan_hash"],
        resource_version=row["resource_version"],
        by=row["answered_by"],
        at=row["at"],
        expires_at=row["expires_at"],
        is_approved=bool(row["is_approved"]),
    )
