"""Reads rows and JSON items one by one: a bad item is dropped and counted, and the others remain.

The schedule opens a Losses around each collection (`counting`); readers add to it from anywhere below, so that pure
functions need no further parameter. Outside a collection nothing is recorded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from chassis.errors import PermanentError

T = TypeVar("T")
R = TypeVar("R")

OTHER = "other"
NUMBERS = (float, int, Decimal)
"""Number types of drivers and JSON; SupportsFloat, a protocol, took 14 µs for each of the 27,000 samples of a
minute.
"""
MAX_COUNT = 2**63
"""Largest plausible count: the end of PostgreSQL's bigint."""
FUTURE_SECONDS = 60.0
"""How far ahead of our clock a time may lie, because clocks differ. A later time is unknown."""
BAD_ITEM = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, PermanentError)
"""The errors of reading an item without a field, or with another type or an impossible value. Our own parsers raise
PermanentError, for example for a Kubernetes quantity.
"""


class Loss(StrEnum):
    """Why an item was dropped: the closed set of the label `reason`."""

    MALFORMED = "malformed"
    """A field is missing or has the wrong type."""
    LABEL = "label"
    """A label value is null or not text."""
    NUMBER = "number"
    """A value is not a number, not finite, a negative count, or an id far beyond all others."""
    FUTURE = "future"
    """A time lies in the future."""


@dataclass(slots=True)
class Losses:
    """Dropped items of one collection, by reason, and values outside a closed set, by field."""

    dropped: Counter[Loss] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


_LOSSES: ContextVar[Losses | None] = ContextVar("losses", default=None)


@contextmanager
def counting() -> Iterator[Losses]:
    """Collects the losses inside, in this task and in the tasks and threads that it starts."""
    losses = Losses()
    token = _LOSSES.set(losses)
    try:
        yield losses
    finally:
        _LOSSES.reset(token)


def note(loss: Loss, count: int = 1) -> None:
    """Counts dropped items."""
    losses = _LOSSES.get()
    if losses is not None and count > 0:
        losses.dropped[loss] += count


def read_each(items: Iterable[T], read: Callable[[T], R]) -> list[R]:
    """The result of `read` for each item; items on which it fails are left out and counted as malformed.

    `read` must change nothing before its last failing step, because a dropped item must leave no trace.
    """
    found = []
    for item in items:
        try:
            found.append(read(item))
        except BAD_ITEM:
            note(Loss.MALFORMED)
    return found


def read_one(item: T | None, read: Callable[[T], R]) -> R | None:
    """The result of `read`; None without an item. An item on which it fails gives None and counts as malformed."""
    return next(iter(read_each(() if item is None else (item,), read)), None)


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A field that must be text, unchanged; raises TypeError otherwise."""
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is not text")
    return value


def count_of(row: Mapping[str, Any], name: str) -> int:
    """A field that must be a count (a whole number); raises TypeError or ValueError otherwise."""
    value = row[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is not a whole number")
    if not 0 <= value < MAX_COUNT:
        raise ValueError(f"{name} is not a plausible count")
    return value


def only_of(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of a query that always has one; empty, and counted as malformed, without one."""
    if rows:
        return rows[0]
    note(Loss.MALFORMED)
    return {}


def age_of(since: object, now: object) -> float | None:
    """Seconds between two Unix times, at least 0; None when `since` is null, unusable, or lies in the future."""
    at, until = past_of(since, now), number_of(now)
    return None if at is None or until is None else max(0.0, until - at)


def number_of(value: object) -> float | None:
    """A finite number, or None for null; any other value is counted and None."""
    if value is None:
        return None
    number = as_number(value)
    if not math.isfinite(number):
        note(Loss.NUMBER)
        return None
    return number


def amount_of(value: object) -> float | None:
    """The same for a count or a measure: a negative number is counted and None."""
    number = number_of(value)
    if number is not None and number < 0:
        note(Loss.NUMBER)
        return None
    return number


def flag_of(value: object) -> bool | None:
    """A boolean, or None for null; anything else is counted and None."""
    if value is not None and not isinstance(value, bool):
        note(Loss.MALFORMED)
        return None
    return value


def word_of(value: object) -> str | None:
    """A text, or None for null; anything else is counted and None."""
    if value is not None and not isinstance(value, str):
        note(Loss.MALFORMED)
        return None
    return value


def past_of(value: object, now: object) -> float | None:
    """A past Unix time; None for null.

    A future time is counted and None (unknown). Without `now` every time is unknown.
    """
    at, limit = number_of(value), number_of(now)
    if at is None or limit is None:
        return None
    if at > limit + FUTURE_SECONDS:
        note(Loss.FUTURE)
        return None
    return at


def member_of(value: object, known: Collection[str], name: str, unknown: str = OTHER) -> str:
    """A value of a closed set. Any other is `unknown`, and counted under its field's name unless it is null."""
    if isinstance(value, str) and value in known:
        return value
    losses = _LOSSES.get()
    if losses is not None and value is not None:
        losses.unknown[name] += 1
    return unknown


def as_number(value: object) -> float:
    """The value as a float; NaN if it is not a number or too large for a float."""
    if not isinstance(value, NUMBERS):
        return math.nan
    try:
        return float(value)
    except (OverflowError, ValueError):
        return math.nan
