"""What people answer, in the SQLite journal. A part of `remediations.journal.sqlite`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from remediations.core.model.acts import Act, ActKind, Actor
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Approval, BreakerReset
from remediations.core.model.remediation import CLOSED, State
from remediations.journal import sqlite_statements as sql
from remediations.journal.sqlite_history import SqliteHistory, read_approval
from remediations.journal.sqlite_rows import read_act, store_act, to_json, to_text


class SqliteAnswers(SqliteHistory):
    """Approvals, breakers closed by hand, and who did what."""

    async def answer(self, approval: Approval, actor: Actor, now: float) -> None:
        """Stores a person's answer to a plan and who gave it, and makes the remediation due at once.

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
            plan = {"plan_hash": approval.plan_hash, "resource_version": approval.resource_version}
            data = {**actor.to_data(), **plan, "detail": f"by {approval.by}"}
            connection.execute(sql.RECORD, (row["id"], now, kind, row["state"], to_json(data)))
            done = ActKind.APPROVE if approval.is_approved else ActKind.REJECT
            detail = {**plan, "expires_at": approval.expires_at}
            store_act(connection, Act(now, done, row["id"], actor, detail))

        await self._thread.write(work)

    async def newest_answers(self, remediation_ids: Sequence[str]) -> Mapping[str, Approval]:
        """The newest answer to a plan of each of these remediations; those without an answer are absent."""

        def work(connection: sqlite3.Connection) -> dict[str, Approval]:
            found = {name: read_approval(connection, name) for name in remediation_ids}
            return {name: approval for name, approval in found.items() if approval is not None}

        return await self._thread.read(work)

    async def reset_breaker(self, reset: BreakerReset, actor: Actor) -> None:
        """Stores that somebody closed the breaker of an action on a target; what it holds there is due at once."""
        action, target = to_text(reset.action), to_text(reset.target)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(sql.RESET_BREAKER, (action, target, to_text(reset.by), reset.at))
            connection.execute(sql.BREAKER_DUE, (reset.at, target))
            store_act(connection, Act(reset.at, ActKind.BREAKER_RESET, f"{action} {target}", actor))

        await self._thread.write(work)

    async def note_act(self, act: Act) -> None:
        """Stores an act that changes nothing else in the journal."""
        await self._thread.write(lambda connection: store_act(connection, act))

    async def acts(self, limit: int) -> Sequence[Act]:
        """What people did, newest first."""
        return [read_act(row) for row in await self._select(sql.ACTS, max(0, limit))]

    async def last_entry_at(self) -> float | None:
        """Unix seconds of the newest record; None for a journal in which nothing ever stood."""
        rows = await self._select(sql.LAST_ENTRY)
        return None if not rows else float(rows[0]["at"])

    async def _select(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a question."""
        return await self._thread.read(lambda connection: connection.execute(query, values).fetchall())
