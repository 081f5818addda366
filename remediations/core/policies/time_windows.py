"""Times of the week or of the calendar, in a local time zone. Pure: the time is an argument."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from remediations.core.fields import Listed, PolicySection, Range, ReadAs, Text


def parse_clock(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time from another program, None if it is invalid."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


MAX_WINDOW_SECONDS = 7 * 86400.0
DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_PART = re.compile(r"(?P<first>\*|\d{1,2})(?:-(?P<last>\d{1,2}))?(?:/(?P<step>\d{1,2}))?")


class WindowError(ValueError):
    """A window cannot be read; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The five fields of a cron line. Day of month and day of week: if both are restricted, one of them must match."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    is_either_day: bool
    """Both day fields are restricted: either may match (POSIX crontab)."""

    def has_day(self, day: date) -> bool:
        """Whether the line starts anything on this day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.is_either_day else of_month and of_week


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time: repeated, from a cron line with a duration, or once between two moments."""

    name: str
    zone: ZoneInfo
    cron: Cron | None = None
    seconds: float = 0.0
    begins_at: float = 0.0
    """Unix seconds; for a window without a cron line."""
    ends_at: float = 0.0

    def end_if_open(self, now: float) -> float | None:
        """Unix seconds of the end of the open window; None if none is open.

        A window of a cron line follows local time: from 22:00 for eight hours ends at 06:00, even in the night of a
        clock change. An hour that occurs twice counts both times.
        """
        if self.cron is None:
            return self.ends_at if self.begins_at <= now < self.ends_at else None
        wall, length = datetime.fromtimestamp(now, self.zone).replace(tzinfo=None), timedelta(seconds=self.seconds)
        ends = [begin + length for begin in _beginnings(self.cron, wall, length) if begin <= wall < begin + length]
        return _next_instant(max(ends), self.zone, now) if ends else None


def _beginnings(cron: Cron, wall: datetime, length: timedelta) -> Iterator[datetime]:
    """Every start, in local time, of a window that could still be open."""
    first = (wall - length).date()
    for number in range((wall.date() - first).days + 1):
        day = first + timedelta(days=number)
        if cron.has_day(day):
            for hour in cron.hours:
                for minute in cron.minutes:
                    yield datetime.combine(day, time(hour, minute))


def _next_instant(wall: datetime, zone: ZoneInfo, now: float) -> float:
    """Unix seconds of the next occurrence of this local time; a skipped one occurs with the next hour."""
    instants = [wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
    return min((instant for instant in instants if instant > now), default=max(instants))


def parse_cron(text: str) -> Cron:
    """A cron line of five fields: numbers, `*`, lists, ranges, steps, and names of weekdays; raises WindowError."""
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        raise WindowError(f"expected five fields (minute hour day month weekday), found {len(words)}")
    for number, name in enumerate(DAY_NAMES):
        words[4] = words[4].replace(name, str(number))
    minutes, hours, days, months, weekdays = (_field(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    is_either = words[2] != "*" and words[4] != "*"
    return Cron(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), is_either)


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    """The numbers of one field."""
    numbers: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise WindowError(f"{name}: {part!r} is not a number, range or step")
        first, last, step = found["first"], found["last"], int(found["step"] or 1)
        begin = least if first == "*" else int(first)
        end = most if first == "*" else int(last or (most if found["step"] else first))
        if not (least <= begin <= end <= most) or step < 1:
            raise WindowError(f"{name}: {part!r} is not within {least} to {most}")
        numbers.update(range(begin, end + 1, step))
    return frozenset(numbers)


def parse_moment(text: str, zone: ZoneInfo, *, is_end: bool = False) -> float:
    """Unix seconds of an ISO 8601 moment; without an offset it is local time. Raises WindowError.

    If a local time occurs twice, a window begins at the first and ends at the second.
    """
    try:
        moment = datetime.fromisoformat(text)
        local = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone, fold=int(is_end))
        return local.astimezone(UTC).timestamp()
    except ValueError as error:
        raise WindowError(f"{text!r} is not a moment like 2026-12-24T18:00") from error
    except OverflowError as error:
        raise WindowError(f"{text!r} is beyond the calendar in UTC") from error


def _known_zone(name: str) -> str:
    """The name of a zone; raises ValueError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone of the IANA database, like Europe/Berlin") from error
    return name


def _known_cron(line: str) -> str:
    """A line that can be read; raises WindowError."""
    parse_cron(line)
    return line


@dataclass(frozen=True, slots=True)
class WindowSection(PolicySection):
    """A window of time in the policy file."""

    name: Text
    """Its name in decisions and output."""
    timezone: Annotated[Text, AfterValidator(_known_zone)]
    """A zone of the IANA database, like Europe/Berlin; local times keep their meaning in summer."""
    cron: Annotated[Text, AfterValidator(_known_cron)] = ""
    """Five fields (minute hour day month weekday) of its start, repeated; with `duration_seconds`."""
    duration_seconds: Annotated[float, Range(60, MAX_WINDOW_SECONDS)] = 0.0
    """How long it lasts."""
    from_: Annotated[Text, Field(alias="from")] = ""
    """Start of a single window: an ISO 8601 time, local without an offset; with `to`."""
    to: Text = ""
    """When it ends."""

    def window(self) -> Window:
        """The window; raises ValueError."""
        zone, is_again, is_once = ZoneInfo(self.timezone), (self.cron, self.duration_seconds), (self.from_, self.to)
        if not (all(is_again) and not any(is_once)) and not (all(is_once) and not any(is_again)):
            raise WindowError("expected name and timezone, and either cron with duration_seconds, or from with to")
        if self.cron:
            return Window(self.name, zone, parse_cron(self.cron), self.duration_seconds)
        begins_at, ends_at = parse_moment(self.from_, zone), parse_moment(self.to, zone, is_end=True)
        if ends_at <= begins_at:
            raise WindowError("ends before it begins")
        return Window(self.name, zone, begins_at=begins_at, ends_at=ends_at)


Windows = Listed[Annotated[Window, ReadAs(WindowSection, WindowSection.window)]]
