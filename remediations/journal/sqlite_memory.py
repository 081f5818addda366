"""Which alerts were stored lately: tells a second delivery of the same from a new alert, and how many new ones came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from remediations.core.model.alert import Match
from remediations.core.model.remediation import State
from remediations.journal import sqlite_statements as sql
from remediations.journal.sqlite_rows import to_text

LEAST_SECONDS = 3600.0
"""Contents and arrivals are remembered at least this long: a storm is judged by them."""
WITHOUT_RESULT = frozenset({State.NOT_NEEDED.value, State.EXPIRED.value})
"""After these a second delivery is looked at again: nothing was done, and the condition may have come back since."""


class Memory:
    """The table `seen` during one delivery, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, at: float, duplicate_seconds: float) -> None:
        self._connection = connection
        self._at = at
        self._duplicate_seconds = duplicate_seconds
        self._arrived = 0
        self.duplicates = 0
        self._found: dict[tuple[str, ...], sqlite3.Row | None] = {}

    def fresh(self, matches: Sequence[Match]) -> list[Match]:
        """Those that begin something; the others are counted as duplicates."""
        new = [match for match in matches if not self._is_duplicate(match)]
        self.duplicates += len(matches) - len(new)
        return new

    def keep(self, matches: Sequence[Match], remediation: str) -> None:
        """Remembers what was stored, and with which remediation."""
        for match in matches:
            if match.content:
                self._arrived += self._find(match) is None
                self._connection.execute(sql.SEE, (*_key(match), self._at, remediation))
                self._found.pop(_key(match), None)
            else:
                self._arrived += 1

    def lose(self, matches: Sequence[Match]) -> None:
        """Forgets what was reported resolved: the next time it fires it is new."""
        for match in matches:
            if match.content:
                self._connection.execute(sql.UNSEE, _key(match))
                self._found.pop(_key(match), None)

    def close(self) -> None:
        """Notes how many alerts were new, and removes what is too old to matter."""
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
