"""Texts for people and scripts: the list of remediations, and everything about one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from textwrap import wrap
from typing import Any

from chassis.clock import format_rfc3339
from chassis.output import data
from chassis.output.terminal import Colour, paint, printable, table, width
from remediations.core.model.acts import HumanAct
from remediations.core.model.facts import Pause
from remediations.facts.pause_file import is_of_file
from remediations.journal.times import add_times
from remediations.settings import RemediatorSettings

MAX_LINE = 10_000


def render_pauses(pauses: Sequence[Pause], problems: Sequence[str], now: float) -> str:
    """The pauses in force as a table; one sentence if there are none. A terminal shows times relative to now.

    `problems` has an entry for each pause, printed below the table; an empty entry means no problem.
    """
    if not pauses:
        return "no pause is in force\n"
    columns = width()

    def time_words(at: float, begin: str = "", end: str = "") -> str:
        return _date(at) if columns is None else f"{begin}{age_words(abs(now - at))}{end}"

    rows = [("NAME", "STOPS", "BY", "SINCE", "UNTIL", "REASON")]
    for item in pauses:
        since = "" if item.since is None else time_words(item.since, end=" ago")
        until = time_words(item.until, "in ") if item.until is not None else "resumed"
        until = "removed" if is_of_file(item) else until
        rows.append((item.name, item.scope, item.owner, since, until, item.reason))
    wrong = [f"pause {item.name}: {problem}" for item, problem in zip(pauses, problems, strict=True) if problem]
    return table(rows, columns) + "".join(f"{paint(printable(line), Colour.YELLOW)}\n" for line in wrong)


def render_banner(pauses: Iterable[Pause]) -> str:
    """One line for each pause, printed above everything else; empty without a pause."""
    lines = []
    for item in pauses:
        since = "" if item.since is None else f" since {people_time(item.since)}"
        end = "until that file is removed" if is_of_file(item) else until_words(item.until)
        words = f"PAUSED: {item.scope}, by {item.owner}{since}, {end}: {item.reason}"
        lines += wrap(printable(f"{words} (pause {item.name})"), width() or MAX_LINE, subsequent_indent="  ")
    return "".join(f"{paint(line, Colour.YELLOW)}\n" for line in lines)


def until_words(until: float | None) -> str:
    """When a pause ends."""
    return "until resumed" if until is None else f"until {people_time(until)}"


def people_time(unix_seconds: float) -> str:
    """The local time, with its zone."""
    try:
        return f"{datetime.fromtimestamp(unix_seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    except (OverflowError, ValueError, OSError):
        return f"{unix_seconds:.0f} (Unix time)"


def _date(unix_seconds: float) -> str:
    """The time in RFC 3339; for a number that is not a date, the number."""
    try:
        return format_rfc3339(unix_seconds)
    except (OverflowError, ValueError, OSError):
        return f"{unix_seconds:.0f} (Unix time)"


def render_acts(acts: Sequence[HumanAct]) -> str:
    """People's acts as a table, newest first; one sentence if there are none."""
    if not acts:
        return "nothing was done by hand\n"
    rows = [("AT", "ACT", "BY", "ADDRESS", "SUBJECT")]
    rows += [(format_rfc3339(act.at), act.kind.value, act.actor.label, act.actor.address, act.subject) for act in acts]
    return table(rows, width())


def age_words(seconds: float) -> str:
    """A duration in its largest two units."""
    whole = int(max(0.0, seconds))
    for size, unit, part, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part}{below}"
    return f"{whole}s"


def printable_lines(text: str) -> str:
    """Several lines, without control characters for a terminal."""
    return "\n".join(printable(line) for line in text.split("\n"))


def write_output(options: argparse.Namespace, content: Any, text: str) -> int:
    """Prints an answer in the requested form; returns the status of success."""
    form = getattr(options, "output", "table")
    sys.stdout.write(render_data(content, form) if form in {"json", "yaml"} else text)
    return 0


def command_line(options: argparse.Namespace, settings: RemediatorSettings) -> str:
    """This program's call up to the command: the beginning of a line to copy.

    It is `alertmanager.announce_command` where that is set (in a pod, the `kubectl exec` from outside), unless the
    settings file was named: then it is this call, because another one may read another journal.
    """
    alertmanager, is_given = settings.alertmanager, getattr(options, "is_file_given", False)
    if alertmanager is not None and not is_given and "announce_command" in alertmanager.model_fields_set:
        return alertmanager.announce_command
    return call_with(getattr(options, "config_file", None))


def call_with(path: Path | None) -> str:
    """The call of this program with a settings file, on its own host."""
    return "controlcore-remediator" + ("" if path is None else f" --config.file {quote(str(path))}")


def write_error(text: str) -> None:
    """One line about a fault."""
    sys.stderr.write(f"controlcore-remediator: {printable_lines(text)}\n")


def render_data(content: Any, form: str) -> str:
    """Data as JSON or YAML, with RFC 3339 times added."""
    return data.render(add_times(content), form)
