"""Stores one webhook request in the SQLite journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from remediations.core.codec import to_json
from remediations.core.model.alert import Delivery, Match, Quarantined, Target
from remediations.core.model.remediation import State
from remediations.journal.port import FollowUp, Stored
from remediations.journal.sqlite import statements as sql
from remediations.journal.sqlite.rows import IdSource, to_text

LEAST_SECONDS = 3600.0
"""Contents and arrivals are kept at least this long, for detecting storms."""


WITHOUT_RESULT = frozenset({State.NOT_NEEDED.value, State.EXPIRED.value})
"""After these outcomes a repeated delivery is processed again: nothing was done, and the condition may have come
back."""


class RecentAlerts:
    """The table `seen` during one delivery, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, at: float, duplicate_seconds: float) -> None:
        self._connection = connection
        self._at = at
        self._duplicate_seconds = duplicate_seconds
        self._arrived = 0
        self.duplicates = 0
        self._found: dict[tuple[str, ...], sqlite3.Row | None] = {}

    def fresh(self, matches: Sequence[Match]) -> list[Match]:
        """The matches that begin something; the others are counted as duplicates."""
        new = [match for match in matches if not self._is_duplicate(match)]
        self.duplicates += len(matches) - len(new)
        return new

    def remember(self, matches: Sequence[Match], remediation: str) -> None:
        """Records what was stored, and with which remediation."""
        for match in matches:
            if match.content:
                self._arrived += self._find(match) is None
                self._connection.execute(sql.SEE, (*_key(match), self._at, remediation))
                self._found.pop(_key(match), None)
            else:
                self._arrived += 1

    def lose(self, matches: Sequence[Match]) -> None:
        """Removes resolved alerts: when one fires again it is new."""
        for match in matches:
            if match.content:
                self._connection.execute(sql.UNSEE, _key(match))
                self._found.pop(_key(match), None)

    def close(self) -> None:
        """Records how many alerts were new, and removes old entries."""
        if self._arrived:
            self._connection.execute(sql.ARRIVE, (self._at, self._arrived))
        before = self._at - max(LEAST_SECONDS, self._duplicate_seconds)
        self._connection.execute(sql.FORGET_SEEN, (before,))
        self._connection.execute(sql.FORGET_ARRIVALS, (before - LEAST_SECONDS,))

    def _is_duplicate(self, match: Match) -> bool:
        """Whether the same content was stored moments ago and has led to a result; a clock set back makes it new."""
        found = self._find(match) if match.content and self._duplicate_seconds > 0 else None
        if found is None or found["state"] in WITHOUT_RESULT:
            return False
        return 0 <= self._at - float(found["at"]) < self._duplicate_seconds

    def _find(self, match: Match) -> sqlite3.Row | None:
        """When this content was stored, and the state of its remediation."""
        key = _key(match)
        if key not in self._found:
            self._found[key] = self._connection.execute(sql.SEEN, key).fetchone()
        return self._found[key]


def _key(match: Match) -> tuple[str, str, str, str, str]:
    """The key of the table `seen`."""
    target = match.target
    return (to_text(match.policy), to_text(target.namespace), to_text(target.kind), to_text(target.name), match.content)


Key = tuple[str, Target]


def store_delivery(connection: sqlite3.Connection, delivery: Delivery, ids: IdSource) -> Stored:
    """Opens, joins or marks remediations, and quarantines unreadable alerts, inside the caller's transaction."""
    at = delivery.received_at
    memory = RecentAlerts(connection, at, delivery.duplicate_seconds)
    opened: list[str] = []
    joined: list[str] = []
    resolved: list[str] = []
    for (policy, target), matches in _grouped(match for match in delivery.matches if match.alert.is_firing).items():
        found = _find(connection, policy, target)
        if found is not None:
            connection.execute(sql.JOIN, (found["id"],))
            _record_alerts(connection, found, "joined", matches, at)
            joined.append(found["id"])
            memory.remember(matches, found["id"])
            continue
        fresh = memory.fresh(matches)
        if fresh:
            opened.append(_open(connection, fresh, at, ids))
            memory.remember(fresh, opened[-1])
    for (policy, target), matches in _grouped(match for match in delivery.matches if not match.alert.is_firing).items():
        found = _find(connection, policy, target)
        if found is not None and found["id"] not in opened:
            connection.execute(sql.RESOLVE, (at, found["id"]))
            _record_alerts(connection, found, "resolved", matches, at)
            resolved.append(found["id"])
        memory.lose(matches)
    memory.close()
    _set_aside(connection, delivery.quarantined, at)
    return Stored(tuple(opened), tuple(joined), tuple(resolved), memory.duplicates)


def _grouped(matches: Iterable[Match]) -> dict[Key, list[Match]]:
    """The matches by the remediation that they would open: two hundred alerts about one target are one remediation."""
    groups: dict[Key, list[Match]] = {}
    for match in matches:
        groups.setdefault((match.policy, match.target), []).append(match)
    return groups


def _find(connection: sqlite3.Connection, policy: str, target: Target) -> sqlite3.Row | None:
    """The open remediation of this policy on this target."""
    found: sqlite3.Row | None = connection.execute(sql.FIND, _names(policy, target)).fetchone()
    return found


def _names(policy: str, target: Target) -> tuple[str, str, str, str]:
    """The columns that identify what a remediation is about."""
    return (to_text(policy), to_text(target.namespace), to_text(target.kind), to_text(target.name))


def _open(connection: sqlite3.Connection, matches: list[Match], at: float, ids: IdSource) -> str:
    """Begins a remediation with the first of these alerts."""
    first = matches[0]
    new = ids.make(at)
    alert = to_json(first.alert)
    connection.execute(sql.BEGIN, (new, *_names(first.policy, first.target), alert, at, at, at))
    data = f'{{"alert": {alert}, "alerts": {len(matches)}}}'  # as text, so that the same alert is not encoded twice
    connection.execute(sql.RECORD, (new, at, "received", "received", data))
    return new


def schedule(connection: sqlite3.Connection, follow: FollowUp, at: float, ids: IdSource) -> str:
    """Begins a scheduled remediation inside the caller's transaction, or postpones the open one."""
    match, data = follow.match, to_json(follow.data)
    names = _names(match.policy, match.target)
    found = connection.execute(sql.FIND, names).fetchone()
    if found is None:
        new = ids.make(at)
        connection.execute(sql.BEGIN, (new, *names, to_json(match.alert), at, at, at))
    else:
        new = str(found["id"])
    connection.execute(sql.SCHEDULE, (follow.due_at, at, new))
    state = connection.execute(sql.ONE, (new,)).fetchone()["state"]
    connection.execute(sql.RECORD, (new, at, "scheduled", state, data))
    return new


def _record_alerts(
    connection: sqlite3.Connection, found: sqlite3.Row, kind: str, matches: list[Match], at: float
) -> None:
    """Appends records for repeated or resolved alerts."""
    alert = matches[0].alert
    data = {"fingerprint": alert.fingerprint, "starts_at": alert.starts_at, "alerts": len(matches)}
    connection.execute(sql.RECORD, (found["id"], at, kind, found["state"], to_json(data)))


def _set_aside(connection: sqlite3.Connection, pieces: Iterable[Quarantined], at: float) -> None:
    """Stores the unreadable alerts."""
    connection.executemany(
        sql.QUARANTINE,
        [(at, to_text(piece.problem), to_text(piece.raw)) for piece in pieces],
    )
