"""Finds the time zone of the product's columns without one, and measures it where the declared zone may be wrong.

A column with a now() default holds the local time of the session that wrote it. The product's role, its database, its
driver or the variable PGTZ may set another zone than ours, and the last two cannot be read. So the declared zone is the
start value, and new rows are the measurement: their time is now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.items import number_of, past_of

STEP_SECONDS = 900
"""Every offset from UTC in use is a multiple of a quarter of an hour (tz database)."""
MAX_OFFSET_SECONDS = 15 * 3600
"""The largest one is 14 hours."""
SLACK_SECONDS = 60.0
"""Tolerance for a new row's time: its transaction may have been long, and clocks differ."""
MAX_WINDOW_SECONDS = 300.0
"""An older row measures nothing: the quarter of an hour would be uncertain."""
CONFIRMATIONS = 2
"""Measurements that must agree before the declared zone is overridden; a single row may have an arbitrary time."""

Fetch = Callable[..., Awaitable[Sequence[Mapping[str, Any]]]]

# The start value of the sessions of the table's owner: a role's setting in a database wins over the role's, which wins
# over the database's (ALTER ROLE, Notes). pg_db_role_setting is open to every role. $2 is the product's role when it is
# configured; a product that makes its tables owns them. Without any setting it is the server's zone, as for our
# session.
ZONE = """
SELECT coalesce(
    (SELECT split_part(setting, '=', 2)
       FROM pg_class c, pg_db_role_setting s, unnest(s.setconfig) AS setting
      WHERE c.oid = to_regclass($1) AND lower(split_part(setting, '=', 1)) = 'timezone'
        AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND s.setrole IN (0, coalesce((SELECT oid FROM pg_roles WHERE rolname = $2), c.relowner))
      ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
      LIMIT 1),
    current_setting('TimeZone')) AS zone
"""


async def read_zone(fetch: Fetch, table: str, role: str) -> str:
    """The declared zone in which rows of this table are written; raises BackendError."""
    return str((await fetch(ZONE, table, role))[0]["zone"])


@dataclass(frozen=True, slots=True)
class WrittenTime:
    """A time of the product in two readings, Unix seconds: as if it were UTC, and by the declared zone."""

    as_utc: float
    declared: float


def written(row: Mapping[str, Any], as_utc: str, declared: str) -> WrittenTime | None:
    """The time in these two columns of a row; None for null; None and counted if it is not a finite number."""
    first, second = number_of(row.get(as_utc)), number_of(row.get(declared))
    return None if first is None or second is None else WrittenTime(first, second)


class ZoneMeter:
    """Knows the offset from UTC in which the product writes, once rows contradict the declared zone."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._candidate: int | None = None
        self._agreeing = 0

    def observe(self, time: WrittenTime, now: object, window_seconds: float) -> None:
        """Takes the time of something that was written within the last `window_seconds`; `now` is the database's."""
        at = number_of(now)
        if at is None or window_seconds > MAX_WINDOW_SECONDS:
            return
        ahead = time.as_utc - at
        offset = round((ahead + window_seconds / 2) / STEP_SECONDS) * STEP_SECONDS
        if abs(offset) > MAX_OFFSET_SECONDS or not -window_seconds - SLACK_SECONDS <= ahead - offset <= SLACK_SECONDS:
            return
        self._agreeing = self._agreeing + 1 if offset == self._candidate else 1
        self._candidate = offset
        if self._agreeing >= CONFIRMATIONS:
            is_declared = abs(time.as_utc - time.declared - offset) < 1
            self._offset = None if is_declared else offset

    def moment(self, time: WrittenTime | None) -> float | None:
        """The Unix time: by the measured offset if there is one, else by the declared zone."""
        if time is None:
            return None
        return time.declared if self._offset is None else time.as_utc - self._offset

    def past(self, time: WrittenTime | None, now: object) -> float | None:
        """The same, but a future time is counted and unknown."""
        return past_of(self.moment(time), now)

    def correction(self, time: WrittenTime) -> float:
        """Seconds to add to a time near this one that was read with the declared zone."""
        return 0.0 if self._offset is None else time.as_utc - self._offset - time.declared
