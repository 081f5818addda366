"""Prints what happens, each line with the seconds since the fault and the figure behind it, and remembers when."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True)
class Timeline:
    """The story of one act. `marks` keeps the first time of each milestone, in seconds since the fault."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    started: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)
    marks: dict[str, float] = field(default_factory=dict)

    def restart(self) -> None:
        """Lets the clock begin now: the fault is being switched on."""
        self.started, self.began_at = time.monotonic(), time.time()
        self.marks.clear()

    @property
    def elapsed(self) -> float:
        """Seconds since the fault."""
        return time.monotonic() - self.started

    def since(self, unix_seconds: float) -> float:
        """A wall-clock time as seconds since the fault."""
        return unix_seconds - self.began_at

    def say(self, what: str, text: str, *, mark: str | None = None, at: float | None = None) -> None:
        """Prints one line; `at` (seconds since the fault) when it was known to happen, otherwise now."""
        seconds = self.elapsed if at is None else at
        if mark is not None:
            self.marks.setdefault(mark, seconds)
        print(f"{seconds:7.1f} s  {what:<10}{text}", file=self.out, flush=True)


def headline(text: str, out: TextIO | None = None) -> None:
    """Prints the title of an act."""
    print(f"\n{text}\n{'-' * min(len(text), 100)}", file=out or sys.stdout, flush=True)


MILESTONES = ("detected", "alerted", "received", "decided", "written", "recovered", "verified")


@dataclass(frozen=True, slots=True)
class Report:
    """How one act ended: `wrong` names deviations, `overdue` names what did not happen in time, if anything."""

    title: str
    outcome: str
    marks: dict[str, float]
    wrong: tuple[str, ...] = ()
    remediation: str = ""
    overdue: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the act ended as it must, and in time."""
        return not self.wrong and not self.overdue


def table(reports: list[Report]) -> str:
    """The milestones of every act in seconds since its fault; `-` where an act has no such milestone."""
    head = f"{'act':<44}" + "".join(f"{name:>11}" for name in MILESTONES) + "   outcome"
    lines = [head, "-" * len(head)]
    for report in reports:
        cells = [report.marks.get(name) for name in MILESTONES]
        row = "".join(f"{'-' if cell is None else f'{cell:.1f} s':>11}" for cell in cells)
        lines.append(f"{report.title:<44}{row}   {report.outcome}")
    return "\n".join(lines)
