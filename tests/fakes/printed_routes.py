"""Finds the Alertmanager routes that the documents print, and the documented answer of each."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROUTE = re.compile(r"^( *)route:$")
CHECK = "amtool config routes test "
PRINTS = "# prints: "


@dataclass(frozen=True, slots=True)
class Check:
    """One line to try a route, and what it prints."""

    arguments: tuple[str, ...]
    """The arguments of `amtool`."""
    prints: str


@dataclass(frozen=True, slots=True)
class PrintedRoute:
    """One whole route tree as a document prints it."""

    place: str
    configuration: str
    checks: tuple[Check, ...]


def find_routes(text: str, place: str) -> tuple[PrintedRoute, ...]:
    """Every route tree of a text with the checks that follow it, up to the next tree."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if ROUTE.match(line)]
    ends = [*starts[1:], len(lines)][: len(starts)]
    return tuple(
        PrintedRoute(f"{place}:{start + 1}", _block(lines[start:end]), tuple(_checks(lines[start:end])))
        for start, end in zip(starts, ends, strict=True)
    )


def find_in(path: Path) -> tuple[PrintedRoute, ...]:
    """Every route tree of a file."""
    return find_routes(path.read_text(encoding="utf-8"), path.name)


def _block(lines: list[str]) -> str:
    """The YAML from `route:` to the first line that does not belong to it."""
    indent = len(lines[0]) - len(lines[0].lstrip())
    kept: list[str] = []
    for line in lines:
        if not line.strip() or line.strip().startswith("```") or len(line) - len(line.lstrip()) < indent:
            break
        kept.append(line)
    return textwrap.dedent("\n".join(kept)) + "\n"


def _checks(lines: list[str]) -> Iterator[Check]:
    """The lines to try it; each is followed by its answer."""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.strip().startswith(CHECK):
            yield Check(tuple(shlex.split(line.strip())[1:]), following.strip().removeprefix(PRINTS))
