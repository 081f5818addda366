"""Converts rows of the SQLite journal to values and back, and makes the ids of new remediations."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from remediations.core.codec import CodecError, compress, inflate, parse_stored, read_stored, to_json
from remediations.core.model.acts import HumanAct
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.facts import Approval, BreakerReset, PastAction, Pause
from remediations.core.model.plan import BUDGETS
from remediations.core.model.remediation import Record, Remediation
from remediations.journal.sqlite import statements as sql

SEQUENCE_LIMIT = 0x10000
PACKED_KINDS = frozenset({"decision", "evidence", "replay"})
"""Kinds whose large parts the engine does not read back: the program of schema 4 continues without them."""
LEAST_PACKED = 128
"""Characters; a shorter part stays readable in the column `data`."""
T = TypeVar("T")


class IdSource:
    """Makes ids that sort by creation: milliseconds, a sequence number, and random bits.

    The random bits distinguish two processes. An id is lower-case hexadecimal, so it can name a Kubernetes object.
    """

    def __init__(self) -> None:
        self._last = 0

    def make(self, now: float) -> str:
        """A new id, greater than every one before, even if the clock was set back."""
        self._last = max(self._last + 1, int(now * 1000) * SEQUENCE_LIMIT)
        return f"{self._last:016x}{secrets.token_hex(4)}"


def to_text(value: str) -> str:
    """The string with characters replaced that UTF-8 cannot encode."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def read_remediation(row: sqlite3.Row) -> Remediation:
    """A row of the table `remediation`."""
    return _read(
        Remediation,
        row,
        "remediation",
        target=_target(row),
        alert=_parse(row, "remediation", "alert"),
        plan=_parse(row, "remediation", "plan"),
        is_resolved=bool(row["is_resolved"]),
    )


def read_action(row: sqlite3.Row) -> PastAction:
    """A row of the table `remediation` with a write; the action's name and budgets are in its plan."""
    plan = _parse(row, "remediation", "plan") or {}
    budgets = plan.get("expected", {}).get(BUDGETS, ())
    about = {"target": _target(row), "action": plan.get("action", ""), "budgets": budgets}
    return _read(PastAction, row, "remediation", remediation=row["id"], **about)


def read_record(row: sqlite3.Row) -> Record:
    """A row of `WHOLE_RECORD`."""
    record = _read(Record, row, "record", data=_parse(row, "record", "data"))
    if row["packed"] is None:
        return record
    try:
        text = inflate(row["packed"], _base_text(row))
    except CodecError as error:
        raise DamagedRecordError("record", record.number, f"packed: {error}") from error
    parts = parse_stored(text, "record", record.number, "packed")
    return replace(record, data={**record.data, **read_stored(dict, parts, "record", record.number, "packed")})


def _base_text(row: sqlite3.Row) -> bytes:
    """The text from which a packed record differs; empty for a whole one. Raises CodecError."""
    if row["base"] is None:
        return b""
    if row["base_packed"] is None:
        raise CodecError(f"record {row['base']}, from which it differs, is missing")
    return inflate(row["base_packed"])


def store_record(connection: sqlite3.Connection, remediation_id: str, record: Record) -> None:
    """Appends one line to a story, inside the caller's transaction.

    The large parts are compressed. A remediation that is held is decided again every few seconds on nearly the same
    facts, so of all but the first only what differs is stored (docs/decisions/0018-inputs-are-stored-once.md).
    """
    large = _large_parts(record)
    small = {name: value for name, value in record.data.items() if name not in large}
    row = (remediation_id, record.at, record.kind, record.state.value, to_json(small))
    if not large:
        connection.execute(sql.RECORD, row)
        return
    number, base = None, b""
    found = connection.execute(sql.BASE, (remediation_id, record.kind)).fetchone()
    if found is not None:
        with suppress(CodecError):  # a damaged one is of no use; this one is stored whole then
            number, base = found["number"], inflate(found["packed"])
    text = ", ".join(f"{to_json(name)}: {part}" for name, part in large.items())
    connection.execute(sql.PACKED_RECORD, (*row, compress(f"{{{text}}}", base), number))


def _large_parts(record: Record) -> dict[str, str]:
    """The parts that are packed, as JSON: lists and objects of some length, in records of certain kinds."""
    if record.kind not in PACKED_KINDS:
        return {}
    texts = {name: to_json(part) for name, part in record.data.items() if isinstance(part, Mapping | list | tuple)}
    return {name: text for name, text in texts.items() if len(text) >= LEAST_PACKED}


def read_pause(row: sqlite3.Row) -> Pause:
    """A row of the table `pause`."""
    return _read(Pause, row, "pause")


def read_approval(row: sqlite3.Row) -> Approval:
    """A row of the table `approval`."""
    return _read(Approval, row, "approval", by=row["answered_by"], is_approved=bool(row["is_approved"]))


def read_breaker_reset(row: sqlite3.Row) -> BreakerReset:
    """A row of the table `breaker_reset`."""
    return _read(BreakerReset, row, "breaker_reset", by=row["reset_by"])


def read_act(row: sqlite3.Row) -> HumanAct:
    """A row of the table `act`."""
    actor = {name: row[name] for name in ("source", "name", "claimed", "address")}
    return _read(HumanAct, row, "act", actor=actor, detail=_parse(row, "act", "detail"))


def store_act(connection: sqlite3.Connection, act: HumanAct) -> None:
    """Appends an act, inside the caller's transaction."""
    actor = act.actor
    words = [to_text(text) for text in (act.subject, actor.source.value, actor.name, actor.claimed, actor.address)]
    connection.execute(sql.ACT, (act.at, act.kind.value, *words, to_json(act.detail)))


def _read(kind: type[T], row: sqlite3.Row, table: str, **others: Any) -> T:
    """The row's columns of the same names as fields, and others; raises DamagedRecordError that names table and id."""
    data = {name: row[name] for name in kind.__annotations__.keys() & set(row.keys())} | others
    return read_stored(kind, data, table, _key(row), is_exact=False)  # stored JSON may contain anything


def _parse(row: sqlite3.Row, table: str, column: str) -> Any:
    """The data of a JSON column, None for NULL; raises DamagedRecordError that names table, id and column."""
    return None if row[column] is None else parse_stored(row[column], table, _key(row), column)


def _target(row: sqlite3.Row) -> dict[str, Any]:
    """The columns that name the target."""
    return {name: row[name] for name in ("namespace", "kind", "name")}


def _key(row: sqlite3.Row) -> object:
    """The name of a row for people: its first column."""
    return row[0]
