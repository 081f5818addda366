"""The terminal's width and colour, and tables that fit it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum

GAP = "  "
MAX_CELL = 200
"""Longest cell if the width is not limited."""
LEAST_LAST = 16
"""The last column is shortened first, down to this width."""
LEAST_CELL = 8
"""No column is shortened below this width."""


class Colour(StrEnum):
    """Escape sequences of ECMA-48, "Select Graphic Rendition"."""

    PLAIN = ""
    BOLD = "\x1b[1m"
    RED = "\x1b[31m"
    GREEN = "\x1b[32m"
    YELLOW = "\x1b[33m"
    CYAN = "\x1b[36m"


END = "\x1b[0m"
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""Clears the terminal and moves to its top."""


def width() -> int | None:
    """Columns of a line: COLUMNS, else the terminal's; None for a pipe or a file, whose lines are not cut."""
    with suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", ""))) > 0:
            return columns
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None if sys.stdout.isatty() else None
    except (OSError, ValueError):
        return None


def height() -> int:
    """Lines of the terminal."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or 24
    except (OSError, ValueError):
        return 24


def is_coloured() -> bool:
    """Whether colour is used: on a terminal that supports it, and never with NO_COLOR (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: Colour) -> str:
    """The text in a colour, if colour is used."""
    return f"{colour}{text}{END}" if colour and text and is_coloured() else text


def printable(text: str) -> str:
    """The text with terminal control characters shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def table(rows: Sequence[Sequence[str]], columns: int | None = None, colours: Sequence[Sequence[Colour]] = ()) -> str:
    """Rows as left-aligned columns that fit; control characters of hostile labels are made visible.

    The last column is shortened first. `colours` has a colour for each cell of the rows it lists.
    """
    clean = [[_cut(printable(cell), MAX_CELL) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in clean) for index in range(len(clean[0]))]
    if columns is not None:
        widths = _fit(widths, columns)
    lines = []
    for number, row in enumerate(clean):
        cells = [_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if number < len(colours):
            cells = [paint(cell, colour) for cell, colour in zip(cells, colours[number], strict=True)]
        lines.append(GAP.join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _fit(widths: list[int], columns: int) -> list[int]:
    """The widths after shortening the last column, which has the longest words, and then the widest."""
    fitted = list(widths)
    while (over := sum(fitted) + len(GAP) * (len(fitted) - 1) - columns) > 0 and max(fitted) > LEAST_CELL:
        if fitted[-1] > LEAST_LAST:
            fitted[-1] = max(LEAST_LAST, fitted[-1] - over)
        else:
            fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"
