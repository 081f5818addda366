from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from remediations.windows import Window, WindowError, parse_clock, parse_cron, parse_moment

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
