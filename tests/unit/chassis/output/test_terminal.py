"""Tables that fit, and colour only where it is wanted."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from chassis.output.terminal import Colour, is_coloured, paint, table, width

ROWS = [("ID", "DETAIL"), ("0001", "x" * 50), ("0002", "short")]


def test_last_column_gives_way_before_the_names():
    (line,) = table([("a" * 20, "b" * 12, "c" * 40)], 60).splitlines()
    assert line == f"{'a' * 20}  {'b' * 12}  {'c' * 23}…"
    (line,) = table([("a" * 20, "b" * 12, "c" * 40)], 50).splitlines()
    assert line == f"{'a' * 17}…  {'b' * 12}  {'c' * 15}…"


def test_widest_column_gives_way_and_says_that_it_was_cut():
    lines = table(ROWS, 30).splitlines()

    assert max(len(line) for line in lines) == 30
    assert lines[1].endswith("x…")
    assert lines[2] == "0002  short"


def test_without_a_limit_nothing_is_cut():
    assert "x" * 50 in table(ROWS)


def test_narrowest_columns_are_still_readable():
    assert table([("a" * 20, "b" * 20)], 5) == "aaaaaaa…  bbbbbbb…\n"


@pytest.mark.parametrize(("columns", "found"), [("72", 72), ("0", None), ("-3", None), ("wide", None), ("", None)])
def test_pipe_has_the_width_of_columns_or_none(monkeypatch, columns, found):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert width() == found


@pytest.mark.parametrize(
    ("environment", "is_shown"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_shown_on_a_terminal_and_never_with_no_color(monkeypatch, environment, is_shown):
    for name, value in {"NO_COLOR": "", "TERM": "xterm", "COLUMNS": ""}.items():
        monkeypatch.setenv(name, environment.get(name, value))
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            assert is_coloured() is is_shown
            assert ("\x1b" in paint("x", Colour.RED)) is is_shown
    finally:
        os.close(master)


def test_pipe_is_never_coloured(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert paint("x", Colour.RED) == "x"
