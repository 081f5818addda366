"""The journal in one SQLite file: the embedded default, without a server. Needs SQLite 3.35 (RETURNING).

Every method is one transaction. The statements themselves check the fence, the lease, the expected state and both
uniqueness rules, so they also hold for two processes on the same file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from remediations.core.codec import to_json
from remediations.core.model.acts import ActKind, Actor, HumanAct
from remediations.core.model.alert import Delivery
from remediations.core.model.errors import (
    AlreadyServedError,
    DamagedRecordError,
    FenceLostError,
    JournalError,
    TargetBusyError,
)
from remediations.core.model.facts import Approval, BreakerReset, Pause
from remediations.core.model.remediation import CLOSED, Record, Remediation, State, require_transition
from remediations.journal.approvals import AnswerError
from remediations.journal.port import EVERY, Claim, RemediationFilter, Sizes, StateChange, Stored
from remediations.journal.sqlite import statements as sql
from remediations.journal.sqlite.connection import MAX_LOG_BYTES, SqliteThread
from remediations.journal.sqlite.delivery import schedule, store_delivery
from remediations.journal.sqlite.queries import SqliteHistory, find_approval
from remediations.journal.sqlite.rows import (
    IdSource,
    read_act,
    read_pause,
    read_record,
    read_remediation,
    store_act,
    store_record,
    to_text,
)

DAMAGED_SECONDS = 900.0
"""An unreadable remediation is tried again after this time."""


class SqliteAnswers(SqliteHistory):
    """Approvals, reset breakers, and acts."""

    async def answer(self, approval: Approval, actor: Actor, now: float) -> None:
        """Stores a person's answer to a plan and the actor, and makes the remediation due at once.

        Raises KeyError for an unknown remediation, JournalError for a closed one.
        """

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(sql.ONE, (to_text(approval.remediation),)).fetchone()
            if row is None:
                raise KeyError(approval.remediation)
            if State(row["state"]) in CLOSED:
                raise JournalError(f"{row['id']} is closed ({row['state']}): it accepts no answer")
            values = (row["id"], approval.plan_hash, approval.resource_version, to_text(approval.by), approval.at)
            connection.execute(sql.ANSWER, (*values, approval.expires_at, int(approval.is_approved)))
            connection.execute(sql.ANSWERED, (now, row["id"]))
            kind = "approved" if approval.is_approved else "rejected"
            plan = {"plan_hash": approval.plan_hash, "resource_version": approval.resource_version}
            data = {**actor.to_data(), **plan, "detail": f"by {approval.by}"}
            connection.execute(sql.RECORD, (row["id"], now, kind, row["state"], to_json(data)))
            done = ActKind.APPROVE if approval.is_approved else ActKind.REJECT
            detail = {**plan, "expires_at": approval.expires_at}
            store_act(connection, HumanAct(now, done, row["id"], actor, detail))

        await self._thread.write(work)

    async def newest_answers(self, remediation_ids: Sequence[str]) -> Mapping[str, Approval]:
        """The newest answer to a plan of each of these remediations; those without an answer are absent."""

        def work(connection: sqlite3.Connection) -> dict[str, Approval]:
            found = {name: find_approval(connection, name) for name in remediation_ids}
            return {name: approval for name, approval in found.items() if approval is not None}

        return await self._thread.read(work)

    async def reset_breaker(self, reset: BreakerReset, actor: Actor) -> None:
        """Stores the reset of the breaker of an action on a target; held remediations are due at once."""
        action, target = to_text(reset.action), to_text(reset.target)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(sql.RESET_BREAKER, (action, target, to_text(reset.by), reset.at))
            connection.execute(sql.BREAKER_DUE, (reset.at, target))
            store_act(connection, HumanAct(reset.at, ActKind.BREAKER_RESET, f"{action} {target}", actor))

        await self._thread.write(work)

    async def note_act(self, act: HumanAct) -> None:
        """Stores an act without another change in the journal."""
        await self._thread.write(lambda connection: store_act(connection, act))

    async def acts(self, limit: int) -> Sequence[HumanAct]:
        """People's acts, newest first."""
        return [read_act(row) for row in await self._select(sql.ACTS, max(0, limit))]

    async def last_entry_at(self) -> float | None:
        """Unix seconds of the newest record; None for a new journal."""
        rows = await self._select(sql.LAST_ENTRY)
        return None if not rows else float(rows[0]["at"])

    async def _select(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query."""
        return await self._thread.read(lambda connection: connection.execute(query, values).fetchall())


class SqliteJournal(SqliteAnswers):
    """The adapter. Open it with `open_journal`."""

    def __init__(self, thread: SqliteThread) -> None:
        super().__init__(thread)
        self._ids = IdSource()

    async def append(self, delivery: Delivery) -> Stored:
        """Stores a delivery durably, in one transaction; after an error nothing of it is stored."""
        return await self._thread.write(lambda connection: store_delivery(connection, delivery, self._ids), is_new=True)

    async def claim(self, worker: str, now: float, ttl_seconds: float) -> Claim | None:
        """Claims the open remediation that has been due longest, or None.

        Raises DamagedRecordError for an unreadable one, and postpones it, so that the others are claimed.
        """
        until = now + ttl_seconds

        def work(connection: sqlite3.Connection) -> Claim | None:
            rows = connection.execute(sql.CLAIM, {"worker": worker, "until": until, "now": now}).fetchall()
            if not rows:
                return None
            remediation = read_remediation(rows[0])
            data = {"worker": worker, "fence": remediation.fence}
            store_record(connection, remediation.id, Record(now, "claimed", remediation.state, data))
            return Claim(remediation, worker, remediation.fence, until)

        try:
            return await self._thread.write(work, is_durable=False)
        except DamagedRecordError as error:
            later = (now + DAMAGED_SECONDS, error.key)
            await self._thread.write(lambda connection: connection.execute(sql.PUT_OFF, later))
            raise

    async def release_orphaned_claims(self) -> int:
        """Ends the claims of dead processes; raises AlreadyServedError while another live process serves this file."""

        def work(connection: sqlite3.Connection) -> int:
            ownership = self._thread.ownership
            if not ownership.take():
                raise AlreadyServedError(f"{ownership.holder()} already serves this journal")
            return connection.execute(sql.TAKE_OVER).rowcount

        return await self._thread.write(work)

    async def renew(self, claim: Claim, now: float, ttl_seconds: float) -> Claim:
        """Extends the lease; raises FenceLostError if it is no longer ours."""
        values = _identity(claim, now) | {"until": now + ttl_seconds}

        def work(connection: sqlite3.Connection) -> Claim:
            rows = connection.execute(sql.RENEW, values).fetchall()
            if not rows:
                raise _refusal(connection, claim, now, None)
            return replace(claim, remediation=read_remediation(rows[0]), lease_until=now + ttl_seconds)

        return await self._thread.write(work, is_durable=False)

    async def advance(
        self, claim: Claim, expected: State, state: State, now: float, change: StateChange
    ) -> Remediation:
        """Moves a remediation from `expected` to `state` and appends the record, in one transaction.

        Raises FenceLostError, TargetBusyError, or JournalError if the state is not the expected one.
        """
        return await self.advance_through(claim, expected, ((state, change),), now)

    async def advance_through(
        self, claim: Claim, expected: State, moves: Sequence[tuple[State, StateChange]], now: float
    ) -> Remediation:
        """Moves from `expected` through several states, in one transaction; raises what `advance` raises."""
        path = [expected, *(state for state, _ in moves)]
        for before, after in pairwise(path):
            require_transition(before, after)

        def work(connection: sqlite3.Connection) -> Remediation:
            remediation = claim.remediation
            for before, (state, change) in zip(path, moves, strict=False):
                remediation = _advance(connection, claim, (before, state), now, change)
                if change.follow is not None:
                    schedule(connection, change.follow, now, self._ids)
            return remediation

        return await self._thread.write(work)

    async def append_record(
        self,
        claim: Claim,
        now: float,
        record: Record,
        *,
        next_at: float | None = None,
        lease_until: float | None = None,
    ) -> None:
        """Appends a record without changing the state; releases or extends the lease as requested."""
        values = _identity(claim, now) | {"next_at": next_at, "lease_until": lease_until}

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(sql.NOTE, values).rowcount == 0:
                raise _refusal(connection, claim, now, None)
            store_record(connection, claim.remediation.id, record)

        await self._thread.write(work)

    async def listing(
        self, *, only_open: bool = False, limit: int = 100, selection: RemediationFilter = EVERY
    ) -> Sequence[Remediation]:
        """Remediations, newest first."""
        values = _selected(selection) | {"limit": max(0, limit)}
        query = sql.LIST_OPEN if only_open else sql.LIST
        rows = await self._thread.read(lambda connection: connection.execute(query, values).fetchall())
        return [read_remediation(row) for row in rows]

    async def count_listed(self, selection: RemediationFilter) -> int:
        """How many remediations are selected; reads all of them."""
        values = _selected(selection)
        return await self._thread.read(
            lambda connection: int(connection.execute(sql.COUNT_LISTED, values).fetchone()["number"])
        )

    async def newest_decisions(self, remediation_ids: Sequence[str]) -> Mapping[str, Record]:
        """The newest decision of each of these remediations; those without one are absent."""

        def work(connection: sqlite3.Connection) -> dict[str, Record]:
            found = {
                name: connection.execute(sql.NEWEST_DECISION, (to_text(name),)).fetchone() for name in remediation_ids
            }
            return {name: read_record(row) for name, row in found.items() if row is not None}

        return await self._thread.read(work)

    async def story(self, remediation_id: str) -> tuple[Remediation, Sequence[Record]]:
        """One remediation and its records, oldest first; raises KeyError for an unknown id."""

        def work(connection: sqlite3.Connection) -> tuple[Remediation, Sequence[Record]]:
            row = connection.execute(sql.ONE, (to_text(remediation_id),)).fetchone()
            if row is None:
                raise KeyError(remediation_id)
            rows = connection.execute(sql.STORY, (row["id"],))
            return read_remediation(row), [read_record(item) for item in rows.fetchall()]

        return await self._thread.read(work)

    async def pause(self, pause: Pause, now: float, actor: Actor) -> None:
        """Sets (or replaces) a named pause, and stores the actor; raises AnswerError if that would end another."""
        words = (to_text(pause.name), to_text(pause.owner), to_text(pause.reason))
        values = (*words, pause.until, now, to_text(pause.policy), to_text(pause.target))
        detail = {"reason": pause.reason, "until": pause.until, "policy": pause.policy, "target": pause.target}
        act = HumanAct(now, ActKind.PAUSE, pause.name, actor, detail)

        def work(connection: sqlite3.Connection) -> None:
            if not pause.is_of_everything:
                other = connection.execute(sql.OTHER_PAUSE, (values[0], now, *values[-2:])).fetchone()
                if other is not None:
                    scope = read_pause(other).scope
                    problem = f"pause {pause.name} is in force and stops {scope}: resume it, or give another name"
                    raise AnswerError(problem)
            connection.execute(sql.PAUSE, values)
            store_act(connection, act)

        await self._thread.write(work)

    async def resume(self, name: str, now: float, actor: Actor) -> bool:
        """Ends a named pause, and stores the actor; False if none of that name was in force."""

        def work(connection: sqlite3.Connection) -> bool:
            rows = connection.execute(sql.RESUME, (to_text(name), now)).fetchall()
            was_in_force = any(row["was_in_force"] for row in rows)
            if was_in_force:
                store_act(connection, HumanAct(now, ActKind.RESUME, name, actor))
            return was_in_force

        return await self._thread.write(work)

    async def counts(self) -> Mapping[State, int]:
        """How many remediations are in each state; every state is included, QUARANTINED counts quarantined alerts."""
        rows = await self._select(sql.COUNTS)
        return dict.fromkeys(State, 0) | {State(row["state"]): int(row["number"]) for row in rows}

    async def prune(self, before: float) -> int:
        """Removes closed remediations, quarantined alerts and acts before then; returns how many remediations."""

        def work(connection: sqlite3.Connection) -> int:
            connection.execute(sql.FORGET_QUARANTINE, (before,))
            connection.execute(sql.FORGET_ACTS, (before,))
            return connection.execute(sql.FORGET, (before,)).rowcount

        return await self._thread.write(work)

    async def sizes(self) -> Sizes:
        """The size of the file and its write-ahead log on the disk."""
        return await self._thread.sizes()

    async def check_integrity(self) -> None:
        """Commits a dummy row: only a real write detects a full or read-only disk."""
        await self._thread.write(lambda connection: connection.execute(sql.PROBE), is_new=True)


@asynccontextmanager
async def open_journal(
    path: Path, *, timeout_seconds: float = 10.0, is_checked: bool = True, max_log_bytes: int = MAX_LOG_BYTES
) -> AsyncIterator[SqliteJournal]:
    """The journal in this file, created if it does not exist; raises JournalError with a remedy.

    `timeout_seconds` limits every call, including the wait for another process's lock. `is_checked` first checks the
    whole file for damage; without it, damage shows only when a damaged part is read. If a reader prevents truncating
    the write-ahead log and it grows beyond `max_log_bytes`, new work is refused.
    """
    thread = SqliteThread(path, timeout_seconds, is_checked=is_checked, max_log_bytes=max_log_bytes)
    await thread.open()
    try:
        yield SqliteJournal(thread)
    finally:
        await thread.close()


def _advance(
    connection: sqlite3.Connection, claim: Claim, step: tuple[State, State], now: float, change: StateChange
) -> Remediation:
    """One move from a state to another, with its record, inside the caller's transaction."""
    before, state = step
    values = _identity(claim, now) | {"expected": before.value, "state": state.value} | _values(change, state)
    try:
        rows = connection.execute(sql.ADVANCE, values).fetchall()
    except sqlite3.IntegrityError as error:
        raise TargetBusyError(f"another remediation is in flight on {claim.remediation.target.key}") from error
    if not rows:
        raise _refusal(connection, claim, now, before)
    for record in (*change.before, change.record):
        store_record(connection, claim.remediation.id, record)
    return read_remediation(rows[0])


def _selected(selection: RemediationFilter) -> dict[str, Any]:
    """Parameters of SELECTED."""
    return {
        "policy": to_text(selection.policy),
        "target": to_text(selection.target),
        "states": f",{','.join(selection.states)},",
        "reason": to_text(selection.reason),
        "since": selection.since,
        "is_rejected": selection.is_rejected,
    }


def _identity(claim: Claim, now: float) -> dict[str, Any]:
    """Parameters of OURS."""
    return {"id": claim.remediation.id, "fence": claim.fence, "now": now}


def _values(change: StateChange, state: State) -> dict[str, Any]:
    """Parameters of ADVANCE."""
    return {
        "reason": change.reason,
        "next_at": change.next_at,
        "operation_id": change.operation_id,
        "plan": None if change.plan is None else to_json(change.plan),
        "written_at": change.written_at,
        "attempt": int(change.is_attempt),
        "releases": change.releases or state in CLOSED,
        "lease_until": change.lease_until,
    }


def _refusal(connection: sqlite3.Connection, claim: Claim, now: float, expected: State | None) -> JournalError:
    """Why a statement of this claim changed nothing."""
    row = connection.execute(sql.ONE, (claim.remediation.id,)).fetchone()
    if row is None:
        return FenceLostError(f"{claim.remediation.id} is not in the journal")
    if row["fence"] != claim.fence:
        return FenceLostError(f"fence {claim.fence} of {claim.remediation.id} was replaced by {row['fence']}")
    if row["lease_until"] is None or row["lease_until"] <= now:
        return FenceLostError(f"the lease of {claim.worker} on {claim.remediation.id} has ended")
    return JournalError(f"{claim.remediation.id} is {row['state']}, not {expected}")
