"""The command `list`: each remediation with its state and what it waits for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from chassis.clock import SystemClock, format_rfc3339
from chassis.errors import ConfigError, Fault
from chassis.output import terminal
from chassis.output.terminal import Colour, table
from remediations.commands.journal.file import with_journal
from remediations.commands.journal.pauses import pauses_in_force
from remediations.commands.output.text import age_words, command_line, render_banner, write_error, write_output
from remediations.core.model.reasons import WORDS
from remediations.core.model.remediation import CLOSED, State
from remediations.journal.port import EVERY, Journal, RemediationFilter
from remediations.journal.records import list_content
from remediations.journal.standing import Standing, make_selection, read_standings
from remediations.settings import RemediatorSettings

Row = tuple[str, ...]
OPEN = frozenset(State) - CLOSED
ALL = 1_000_000
"""A limit large enough for all."""
WATCH_SECONDS = 2.0
ROOM_FOR_TARGET = 100
"""From this width on the target is shown."""
SHORT_ID = 8
MOST_HINTS = 3
"""Most waiting plans that are named below the table."""
OTHER_LINES = 4
"""Lines around the table, without banner and hints."""
COLOURS = {
    "succeeded": Colour.GREEN,
    "failed": Colour.RED,
    "unverified": Colour.YELLOW,
    "expired": Colour.YELLOW,
    "rejected": Colour.YELLOW,
    "": Colour.CYAN,
}
"""Colour of an outcome; empty while the remediation is open."""


def list_remediations(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the newest remediations; with --watch repeatedly until interrupted."""
    form = getattr(options, "output", "table")
    if options.is_watching and form not in {"table", "wide"}:
        raise ConfigError((Fault("--watch", "shows tables only"),))
    selection = _selection(options)

    async def work(journal: Journal) -> int:
        if not options.is_watching:
            return await _print_once(journal, options, settings, selection)
        clock, before = SystemClock(), ""
        while True:
            text = await _render(journal, options, settings, selection)
            if sys.stdout.isatty():
                sys.stdout.write(terminal.CLEAR + text)
            elif text != before:
                sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            before = text
            await clock.sleep(WATCH_SECONDS)

    try:
        return with_journal(options, settings, work)
    except KeyboardInterrupt:
        return 0


def _selection(options: argparse.Namespace) -> RemediationFilter:
    """The selection of the filters; a reason may also be given in the words of the list. Raises ConfigError."""
    reason = {words: code for code, words in WORDS.items()}.get(options.reason, options.reason)
    since = 0.0 if options.since is None else options.since(SystemClock().now())
    return make_selection(
        policy=options.policy, target=options.target, state=options.state, outcome=options.outcome,
        reason=reason.replace("-", "_").replace(" ", "_"), since=since,
    )  # fmt: skip


async def _print_once(
    journal: Journal, options: argparse.Namespace, settings: RemediatorSettings, selection: RemediationFilter
) -> int:
    """Prints the list in the requested form."""
    form = getattr(options, "output", "table")
    if form in {"table", "wide"}:
        sys.stdout.write(await _render(journal, options, settings, selection))
        return 0
    standings, total = await _read(journal, options, selection)
    if len(standings) < total:
        write_error(f"{len(standings)} of {total} remediations; --limit 0 lists all")
    if form == "name":
        sys.stdout.write("".join(f"{item.remediation.id}\n" for item in standings))
        return 0
    return write_output(options, list_content(standings), "")


async def _read(
    journal: Journal, options: argparse.Namespace, selection: RemediationFilter, most: int = ALL
) -> tuple[list[Standing], int]:
    """The remediations to show, and how many are selected."""
    limit = min(options.limit or ALL, most)
    found = await journal.listing(only_open=options.only_open, limit=limit, selection=selection)
    total = len(found)
    if total == limit:
        states = selection.states & OPEN if options.only_open else selection.states
        total = await journal.count_listed(replace(selection, states=states))
    return await read_standings(journal, found), total


async def _render(
    journal: Journal, options: argparse.Namespace, settings: RemediatorSettings, selection: RemediationFilter
) -> str:
    """Banner, table, count, and the commands for waiting plans."""
    banner = render_banner(await pauses_in_force(journal, settings))
    most = ALL
    if options.is_watching and sys.stdout.isatty():
        most = max(1, terminal.height() - OTHER_LINES - MOST_HINTS - banner.count("\n"))
    standings, total = await _read(journal, options, selection, most)
    is_wide = getattr(options, "output", "table") == "wide"
    is_filtered = options.only_open or selection != EVERY
    listed = render_list(standings, SystemClock().now(), total, is_wide=is_wide, is_filtered=is_filtered)
    return banner + listed + _hints(standings, command_line(options, settings))


def render_list(
    standings: Sequence[Standing], now: float, total: int, *, is_wide: bool = False, is_filtered: bool = False
) -> str:
    """The remediations as a table, newest first, with their number; one sentence if there are none."""
    if not standings:
        return f"no remediation {'matches' if is_filtered else 'is in the journal'}\n"
    columns = None if is_wide else terminal.width()
    head, read = _layout(now, columns, is_wide=is_wide)
    rows = [read(item) for item in standings]
    place = head.index("STATE")
    colours = [(Colour.BOLD,) * len(head)]
    for item in standings:
        colour = COLOURS.get(item.outcome, Colour.PLAIN)
        colours.append(tuple(colour if index == place else Colour.PLAIN for index in range(len(head))))
    cut = "" if len(standings) == total else f"{len(standings)} of "
    more = "; --limit 0 lists all" if cut else ""
    count = f"{cut}{total} remediation{'' if total == 1 else 's'}{more}\n"
    return table([head, *rows], columns, colours) + count


def _layout(now: float, columns: int | None, *, is_wide: bool) -> tuple[Row, Callable[[Standing], Row]]:
    """The names of the columns that fit, and the function that reads a row.

    An open remediation has no outcome and a closed one waits for nothing, so both share a column on a narrow terminal.
    """
    is_short = columns is not None

    def first(item: Standing) -> Row:
        remediation = item.remediation
        name = remediation.id[-SHORT_ID:] if is_short else remediation.id
        state = "closed" if item.outcome else remediation.state.value
        return name, age_words(now - remediation.created_at), item.mode or "-", state, remediation.policy

    def narrow(item: Standing) -> Row:
        return *first(item), item.outcome_text or item.waits_for

    def middle(item: Standing) -> Row:
        return *first(item), item.remediation.target.name, item.outcome_text or item.waits_for

    def whole(item: Standing) -> Row:
        return *first(item), item.remediation.target.key, item.outcome_text, item.waits_for

    def wide(item: Standing) -> Row:
        remediation, answer = item.remediation, item.answer
        word = "" if answer is None else f"{'approved' if answer.is_approved else 'rejected'} by {answer.by}"
        rest = (remediation.reason, format_rfc3339(remediation.created_at), str(remediation.attempts), word)
        return *whole(item), *rest

    head = ("ID", "AGE", "MODE", "STATE", "POLICY")
    both = "OUTCOME OR WAITS FOR"
    if columns is not None:
        return ((*head, both), narrow) if columns < ROOM_FOR_TARGET else ((*head, "TARGET", both), middle)
    every = (*head, "TARGET", "OUTCOME", "WAITS FOR")
    return ((*every, "REASON", "RECEIVED", "ATTEMPTS", "ANSWER"), wide) if is_wide else (every, whole)


def _hints(standings: Sequence[Standing], command: str) -> str:
    """A line to copy for each waiting plan."""
    waiting = [item for item in standings if item.proposal is not None and not item.is_answered]
    lines = [f"waits for approval: {command} show {item.remediation.id[-SHORT_ID:]}\n" for item in waiting]
    more = len(lines) - MOST_HINTS
    return "".join(lines[:MOST_HINTS]) + (f"and {more} more wait for approval\n" if more > 0 else "")
