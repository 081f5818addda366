"""Follows a growing table by its ids: counts each new row at most once, and no earlier row.

It uses ids, not times: the product's times have no zone, and a purge of old rows lowers every count(*). An id is
counted once it, or a higher one, has been visible for `settle_seconds`, so that transactions with a lower id that
commit later are included. A transaction that takes longer may be missed.

An id far beyond all others, as a restore may leave it, is not from the table's sequence. It is left out as unknown: if
followed, it would exceed all later rows, and none of them would be counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from chassis.errors import PermanentError, Reason
from exporter.items import Loss, note

if TYPE_CHECKING:
    from exporter.sources.sources import Sources

MAX_IDS = 500_000
"""Ids counted in one reading: a backlog after an outage of the database is processed in bounded steps."""
FIRST_IDS = 100
"""Most rows that count as the first rows of an empty table. More at once are a restored backup."""

MAX_JUMP = 10**9
"""Most ids that a table gains between two readings. A row further ahead is left out until the exporter restarts."""
MAX_ID = 2**48
"""The highest id that a sequence from 1 on reaches: a million rows a second for nine years. Bounds the first
reading.
"""

# pg_attribute and pg_class, PostgreSQL 9.6+. The columns differ between generations of the product, and our rights
# differ between installations; information_schema.columns would hide columns that we may not read. A table that was
# dropped and restored has another oid, one that was truncated (or rewritten) another file. On a replica the highest id
# may fall behind and catch up again, so a lower id there does not mean that the table restarted.
TABLE = """
SELECT c.oid::bigint AS oid, c.relfilenode::bigint AS file, pg_is_in_recovery() AS is_replica,
       array(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS all_columns,
       array(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND has_column_privilege(c.oid, a.attnum, 'SELECT')) AS columns
  FROM pg_class c WHERE c.oid = to_regclass($1)
"""

# The primary key's index answers it at once.
HIGHEST = "SELECT max(id) AS highest FROM {table}"
HIGHEST_UP_TO = "SELECT max(id) AS highest FROM {table} WHERE id <= $1"

Fetch = Callable[..., Awaitable[Sequence[Any]]]
"""Runs one query with its arguments under its deadline; raises BackendError."""


@dataclass(frozen=True, slots=True)
class FollowedTable:
    """The table's readable columns and its identity."""

    oid: int
    is_replica: bool
    columns: frozenset[str]
    """Those that this role may read."""
    all_columns: frozenset[str] = frozenset()
    file: int = 0
    name: str = "the table"

    def lacks(self, *columns: str) -> PermanentError | None:
        """The failure to publish if one of these columns cannot be read, otherwise None."""
        missing = sorted(set(columns) - self.columns)
        if not missing:
            return None
        is_there = set(missing) <= self.all_columns
        reason = Reason.PERMISSION if is_there else Reason.MISSING
        return PermanentError(reason, f"{self.name} has no readable column {', '.join(missing)}")

    @property
    def identity(self) -> tuple[int, int]:
        """A different value means that ids may restart: the table was replaced, truncated or rewritten."""
        return self.oid, self.file


@dataclass(frozen=True, slots=True)
class WatermarkReading:
    """One reading of the table: its highest id (None when empty), and the ids (after, up to) to count now."""

    table: FollowedTable
    highest: int | None
    span: tuple[int, int] | None


class Watermark:
    """Decides which ids may be counted now: each at most once, and none from before the first reading."""

    def __init__(self, settle_seconds: float, max_ids: int = MAX_IDS) -> None:
        self._settle_seconds = settle_seconds
        self._max_ids = max_ids
        self._identity: tuple[int, int] | None = None
        self._counted: int | None = None
        self._left_out_above: int | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def advance(self, table: FollowedTable, highest: int | None, now: float) -> tuple[int, int] | None:
        """The ids (after, up to) to count now, or None. `highest` is None for an empty table, `now` monotonic seconds.

        Nothing is counted in the first reading, after the table was replaced or truncated, or when the highest id fell:
        the watermark then restarts at the highest id. The first rows of a table that was empty and not replaced since
        are counted from id 1 on, unless they are so many that they are a restored backup. Call `confirm` once the ids
        are counted.
        """
        is_first_rows = (
            self._counted is None and table.identity == self._identity and highest is not None and highest <= FIRST_IDS
        )
        if is_first_rows:
            self._counted = 0
        elif self._counted is None or table.identity != self._identity or self._has_fallen(table, highest):
            self._identity = table.identity
            self._counted = highest
            self._seen.clear()
        if self._counted is None or highest is None:
            return None
        if highest > (self._seen[-1][1] if self._seen else self._counted):
            self._seen.append((now, highest))
        settled = [seen for at, seen in self._seen if at <= now - self._settle_seconds]
        return (self._counted, min(settled[-1], self._counted + self._max_ids)) if settled else None

    def limit(self, table: FollowedTable, highest: int) -> int:
        """The highest id that can be from the table's sequence, judged by earlier readings.

        It does not rise while a row lies above it, so that a growing sequence never makes that row plausible.
        """
        limit = MAX_ID
        if self._counted is not None and table.identity == self._identity:
            last = self._seen[-1][1] if self._seen else self._counted
            limit = min(self._left_out_above or MAX_ID, last + MAX_JUMP)
        self._left_out_above = limit if highest > limit else None
        return limit

    def confirm(self, up_to: int) -> None:
        """Records that the ids up to here are counted."""
        self._counted = up_to
        while self._seen and self._seen[0][1] <= up_to:
            self._seen.popleft()

    def _has_fallen(self, table: FollowedTable, highest: int | None) -> bool:
        """Whether ids restarted: the highest is below the counted ids, and the reason is not a lagging replica."""
        return highest is not None and self._counted is not None and highest < self._counted and not table.is_replica


class TableFollower:
    """Follows one table of the product that has a column `id`."""

    @classmethod
    def kept(
        cls, name: str, needed: frozenset[str], settle_seconds: float, sources: Sources, owner: str
    ) -> TableFollower:
        """The follower of collector `owner` with the watermark that it had before a reload.

        Its counters must be kept too, because a counted id is not counted again.
        """
        database = sources.settings.database.url
        make = partial(Watermark, settle_seconds)
        return cls(name, needed, sources.kept.of(make, f"{owner}.watermark", database, settle_seconds))

    def __init__(self, name: str, needed: frozenset[str], watermark: Watermark) -> None:
        """`name` goes into SQL unquoted; every count needs the columns in `needed`."""
        self._name = name
        self._needed = needed | {"id"}
        self._watermark = watermark

    async def look(self, fetch: Fetch, now_monotonic: float) -> WatermarkReading:
        """The table and the ids to count now; raises BackendError, also PermanentError(missing | permission)."""
        table = read_table(self._name, await fetch(TABLE, self._name), self._needed)
        highest = (await fetch(HIGHEST.format(table=self._name)))[0]["highest"]
        if highest is not None and highest > (limit := self._watermark.limit(table, highest)):
            note(Loss.NUMBER)
            highest = (await fetch(HIGHEST_UP_TO.format(table=self._name), limit))[0]["highest"]
        return WatermarkReading(table, highest, self._watermark.advance(table, highest, now_monotonic))

    def confirm(self, look: WatermarkReading) -> None:
        """Records that the reading's ids are counted."""
        if look.span is not None:
            self._watermark.confirm(look.span[1])


class RecentSpan:
    """Chooses the ids to search for the newest facts: at first the last `rows`, later only new ones."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._last: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether the next search covers old ids; later searches cover only new ones."""
        return self._last is None

    def next(self, highest: int) -> tuple[int, int]:
        """The ids (after, up to) to search; the same until `confirm`."""
        if self._last is not None and highest < self._last:
            self._last = None
        if self._last is None:
            return max(0, highest - self._rows), highest
        return self._last, highest

    def confirm(self, highest: int) -> None:
        """Records that all ids up to here were searched."""
        self._last = highest


def read_table(name: str, rows: Sequence[Mapping[str, Any]], needed: frozenset[str]) -> FollowedTable:
    """TABLE's row; raises PermanentError when the table or a needed column is missing or may not be read."""
    if not rows:
        raise PermanentError(Reason.MISSING, f"this role sees no table {name}")
    row = rows[0]
    columns, all_columns = frozenset(row["columns"]), frozenset(row["all_columns"])
    table = FollowedTable(row["oid"], row["is_replica"], columns, all_columns, row["file"], name)
    failure = table.lacks(*needed)
    if failure is not None:
        raise failure
    return table
