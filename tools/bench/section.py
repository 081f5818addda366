"""One part of the benchmarks: its name, its title, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

SOAK_MINUTES = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """The caller's options for all sections."""

    soak_minutes: float = SOAK_MINUTES
    """How long the memory is watched."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target and its measurement; `holds` is None if nothing could be measured."""

    aim: str
    figure: str
    holds: bool | None

    def describe(self) -> str:
        """The target as one line of a list."""
        verdict = "unknown" if self.holds is None else "holds" if self.holds else "does not hold"
        return f"- {self.aim}: {self.figure}: **{verdict}**"


@dataclass(frozen=True, slots=True)
class Section:
    """One part: `measure` returns the lines of Markdown below the title."""

    name: str
    title: str
    measure: Callable[[Options], list[str]]


def at_most(aim: str, limit: float, measured: float | None, unit: str, digits: int = 2) -> Target:
    """A target that holds up to a limit; `limit` and `measured` are in `unit`."""
    if measured is None:
        return Target(aim, "not measured", None)
    return Target(aim, f"{measured:.{digits}f} {unit}", measured <= limit)


def at_least(aim: str, limit: float, measured: float | None, unit: str, digits: int = 1) -> Target:
    """A target that holds from a limit on."""
    if measured is None:
        return Target(aim, "not measured", None)
    return Target(aim, f"{measured:.{digits}f} {unit}", measured >= limit)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A table of Markdown."""
    titles = list(head)
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    return lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]


def targets(found: Iterable[Target]) -> list[str]:
    """The targets of a section with their verdicts, below its table."""
    return ["", *(target.describe() for target in found)]
