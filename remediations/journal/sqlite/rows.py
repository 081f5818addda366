"""Rows of the SQLite journal to values and back, and the ids of new remediations."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from remediations.core.model.acts import ActKind, Actor, ActSource, HumanAct
from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import PastAction
from remediations.core.model.plan import BUDGETS
from remediations.core.model.remediation import Record, Remediation, State
from remediations.journal.sqlite import statements as sql

SEQUENCE_LIMIT = 0x10000
ENCODER = json.JSONEncoder(default=dict)
"""Made once: making one for each of ten thousand texts takes as long as writing them."""


class IdSource:
    """Makes ids that sort in the order in which they were made: milliseconds, a sequence number, and chance.

    Chance keeps two processes apart. An id is lower-case hexadecimal, so it can name a Kubernetes object.
    """

    def __init__(self) -> None:
        self._last = 0

    def make(self, now: float) -> str:
        """A new id, later than every one before, also when the clock was set back."""
        self._last = max(self._last + 1, int(now * 1000) * SEQUENCE_LIMIT)
        return f"{self._last:016x}{secrets.token_hex(4)}"


def to_json(value: Mapping[str, Any]) -> str:
    """The value as JSON in ASCII: whatever characters an alert brings, the text can be stored."""
    return ENCODER.encode(value)


def to_text(value: str) -> str:
    """The string with what UTF-8 cannot express replaced."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def read_remediation(row: sqlite3.Row) -> Remediation:
    """A row of the table `remediation`."""
    return Remediation(
        id=row["id"],
        policy=row["policy"],
        target=Target(row["namespace"], row["kind"], row["name"]),
        state=State(row["state"]),
        alert=Alert(**json.loads(row["alert"])),  # noqa: TID251 - what we wrote
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        fence=row["fence"],
        lease_until=row["lease_until"],
        next_at=row["next_at"],
        operation_id=row["operation_id"],
        reason=row["reason"],
        plan=None if row["plan"] is None else json.loads(row["plan"]),  # noqa: TID251 - what we wrote
        written_at=row["written_at"],
        attempts=row["attempts"],
        is_resolved=bool(row["is_resolved"]),
    )


def read_record(row: sqlite3.Row) -> Record:
    """A row of the table `record`."""
    return Record(row["at"], row["kind"], State(row["state"]), json.loads(row["data"]))  # noqa: TID251 - what we wrote


def store_act(connection: sqlite3.Connection, act: HumanAct) -> None:
    """Appends what somebody did, inside the caller's transaction."""
    actor = act.actor
    words = [to_text(text) for text in (act.subject, actor.source.value, actor.name, actor.claimed, actor.address)]
    connection.execute(sql.ACT, (act.at, act.kind.value, *words, to_json(act.detail)))


def read_act(row: sqlite3.Row) -> HumanAct:
    """A row of the table `act`."""
    actor = Actor(ActSource(row["source"]), row["name"], row["claimed"], row["address"])
    return HumanAct(row["at"], ActKind(row["kind"]), row["subject"], actor, json.loads(row["detail"]))  # noqa: TID251 - what we wrote


def read_action(row: sqlite3.Row) -> PastAction:
    """A row of the table `remediation` that has been written; the action's name and budgets stand in its plan."""
    plan = {} if row["plan"] is None else json.loads(row["plan"])  # noqa: TID251 - what we wrote
    return PastAction(
        remediation=row["id"],
        policy=row["policy"],
        target=Target(row["namespace"], row["kind"], row["name"]),
        action=plan.get("action", ""),
        written_at=row["written_at"],
        state=State(row["state"]),
        reason=row["reason"],
        attempts=row["attempts"],
        budgets=tuple(plan.get("expected", {}).get(BUDGETS, ())),
    )
