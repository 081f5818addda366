from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediations.core.policies.time_windows import Window, WindowError, parse_clock, parse_cron, parse_moment

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def weekly(line: str, hours: float) -> Window:
    return Window("w", BERLIN, parse_cron(line), hours * 3600)


@pytest.mark.parametrize(
    ("line", "hours", "moment", "is_open"),
    [
        ("0 9 * * mon-fri", 8, "2026-11-23T09:00", True),
        ("0 9 * * mon-fri", 8, "2026-11-23T16:59", True),
        ("0 9 * * mon-fri", 8, "2026-11-23T17:00", False),
        ("0 9 * * mon-fri", 8, "2026-11-22T12:00", False),
        ("0 18 * * 5", 62, "2026-11-22T12:00", True),
        ("0 18 * * fri", 62, "2026-11-23T08:30", False),
        ("0 9 * * *", 1, "2026-07-01T09:30", True),
        ("0 9 * * *", 1, "2026-01-01T09:30", True),
        ("*/15 * * * *", 0.1, "2026-01-01T09:31", True),
        ("*/15 * * * *", 0.1, "2026-01-01T09:40", False),
        ("0 0 24-26 12 *", 24, "2026-12-25T12:00", True),
        ("0 0 1 1 *", 24, "2026-12-25T12:00", False),
        ("0 0 13 * fri", 24, "2026-11-20T12:00", True),
        ("0 0 * * 7", 24, "2026-11-22T12:00", True),
        ("0 9,14 * * *", 1, "2026-11-22T14:10", True),
        ("0 8/4 * * *", 1, "2026-11-22T12:10", True),
    ],
)
def test_cron_window_is_open_by_local_time(line, hours, moment, is_open):
    assert (weekly(line, hours).end_if_open(at(moment)) is not None) is is_open


NIGHT = weekly("0 22 * * *", 8)


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-10-24T21:59:00+02:00", False),
        ("2026-10-24T22:00:00+02:00", True),
        ("2026-10-25T02:30:00+02:00", True),
        ("2026-10-25T02:30:00+01:00", True),
        ("2026-10-25T05:30:00+01:00", True),
        ("2026-10-25T06:00:00+01:00", False),
        ("2026-03-28T22:00:00+01:00", True),
        ("2026-03-29T05:59:00+02:00", True),
        ("2026-03-29T06:00:00+02:00", False),
        ("2026-03-29T06:59:00+02:00", False),
    ],
)
def test_night_ends_at_six_when_clocks_are_changed(moment, is_open):
    """R15: it ended an hour early when clocks went back, and an hour late when they went forward."""
    now = datetime.fromisoformat(moment).timestamp()
    end = NIGHT.end_if_open(now)
    assert (end is not None) is is_open
    if end is not None:
        assert datetime.fromtimestamp(end, BERLIN).strftime("%H:%M") == "06:00"


def test_hour_that_is_shown_twice_counts_both_times():
    """R15: and so does a window that lies within it."""
    short = weekly("30 2 * * *", 0.25)
    shown = [f"2026-10-25T02:{minute}:00{offset}" for offset in ("+02:00", "+01:00") for minute in (29, 30, 44, 45)]
    found = [short.end_if_open(datetime.fromisoformat(text).timestamp()) is not None for text in shown]
    assert found == [False, True, True, False] * 2


def test_local_time_that_is_shown_twice_begins_at_the_first_and_ends_at_the_second():
    first, second = (
        datetime.fromisoformat(f"2026-10-25T02:30:00{offset}").timestamp() for offset in ("+02:00", "+01:00")
    )
    assert parse_moment("2026-10-25T02:30", BERLIN) == first
    assert parse_moment("2026-10-25T02:30", BERLIN, is_end=True) == second


ZONES = sorted(available_timezones())
LINES = st.builds(
    "{} {} * * {}".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(("*", "mon-fri", "sat,sun", "0"))
)
DECADES = st.integers(
    int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())
)


@st.composite
def moments(draw):
    """A zone and a moment, half of the time within a day of a change of its clocks."""
    zone, now = ZoneInfo(draw(st.sampled_from(ZONES))), draw(DECADES)
    if draw(st.booleans()):
        offset = datetime.fromtimestamp(now, zone).utcoffset()
        change = next((at for at in range(now, now + 366 * 86400, 43200) if _offset(at, zone) != offset), now)
        now = change + draw(st.integers(-86400, 86400))
    return zone, now


def _offset(at, zone):
    return datetime.fromtimestamp(at, zone).utcoffset()


@given(moments(), LINES, st.integers(1, 7 * 24 * 60))
@settings(deadline=None, max_examples=400)
def test_window_is_open_exactly_while_a_clock_on_the_wall_shows_a_time_within_it(moment, line, minutes):
    """R15: in every zone and year, by counting the minutes back on the wall."""
    zone, now = moment
    cron, wall = parse_cron(line), datetime.fromtimestamp(now, zone).replace(tzinfo=None)
    (minute,), (hour,) = cron.minutes, cron.hours
    begins = [
        datetime.combine(wall.date() - timedelta(days=days), time(hour, minute))
        for days in range(9)
        if cron.has_day(wall.date() - timedelta(days=days))
    ]
    is_open = any(begin <= wall < begin + timedelta(minutes=minutes) for begin in begins)
    end = Window("w", zone, cron, minutes * 60.0).end_if_open(now)
    assert (end is not None) is is_open
    assert end is None or end > now


def test_end_of_overlapping_windows_is_the_latest():
    assert weekly("0 9,10 * * *", 2).end_if_open(at("2026-11-22T10:30")) == at("2026-11-22T12:00")


def test_window_between_moments_is_open_from_the_first_until_the_last():
    window = Window("w", BERLIN, begins_at=10, ends_at=20)
    assert [window.end_if_open(now) for now in (9, 10, 19, 20)] == [None, 20, 20, None]


@pytest.mark.parametrize("line", ["", "* * * *", "60 * * * *", "x * * * *", "5-1 * * * *", "*/0 * * * *", "* * 0 * *"])
def test_line_that_is_none_is_refused(line):
    with pytest.raises(WindowError):
        parse_cron(line)


def test_moment_is_local_unless_it_says_otherwise():
    assert parse_moment("2026-12-24T18:00", BERLIN) == parse_moment("2026-12-24T17:00+00:00", BERLIN)
    with pytest.raises(WindowError):
        parse_moment("christmas", BERLIN)


@pytest.mark.parametrize(
    ("text", "expected"), [("1970-01-01T00:00:05Z", 5.0), ("1970-01-01T00:00:05", None), ("", None)]
)
def test_time_from_elsewhere_needs_an_offset(text, expected):
    assert parse_clock(text) == expected


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_moment_beyond_the_calendar_is_refused_like_any_other(text: str) -> None:
    """A freeze without an end is written so; an OverflowError ended the program."""
    with pytest.raises(WindowError, match="beyond the calendar"):
        parse_moment(text, ZoneInfo("America/New_York"))
