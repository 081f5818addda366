"""`python -m tools.generate.man_pages`: writes the man page of each program from its parser into docs/man.

`argparse-manpage` writes the text; here its input is prepared. Each usage is one line, so that a page does not depend
on the terminal or on the version of Python. An option that every command takes is described once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from argparse_manpage.manpage import Manpage

from chassis.output.findings import EXIT_STATUSES, FOUND, UNCHECKED
from exporter import __main__ as exporter
from exporter.collectors import discover
from remediations import __main__ as remediator
from remediations.commands.output import exit_codes

FOLDER = Path(__file__).parents[2] / "docs" / "man"
NO_DATE = " "
"""A page changes with the parser alone; for an empty text the library takes the date of the day."""
ONE_LINE = partial(argparse.HelpFormatter, width=100_000)


@dataclass(frozen=True, slots=True)
class Program:
    """A man page's text in addition to the parser's."""

    name: str
    """The rest of the line NAME."""
    synopsis: str
    """As roff."""
    statuses: Mapping[int, str]
    sections: Mapping[str, str]
    """Plain text by heading."""
    shared: str = ""
    """Where the options of every command are."""


EXPORTER = Program(
    "publishes the state of Control Core as Prometheus metrics",
    "\n.br\n".join(
        f".B controlcore\\-exporter{command}\n[\\fIOPTION\\fR ...]"
        for command in ("", " doctor", " grants", " healthcheck")
    ),
    {
        exporter.EXIT_OK: "done",
        exporter.EXIT_FAILED: "it cannot serve, for example because the port is taken; doctor: "
        + EXIT_STATUSES[FOUND]
        + "; healthcheck: not healthy",
        exporter.EXIT_CONFIG: "the command line or the configuration is wrong; each fault is printed with its location",
        UNCHECKED: "doctor: " + EXIT_STATUSES[UNCHECKED],
    },
    {
        "environment": "DATABASE_URL, REDIS_URL and CONTROLCORE_API_URL name the database, Redis and the API. "
        "CONTROLCORE_EXPORTER_<SECTION>__<NAME> gives a setting. "
        "The command line wins over the environment, the environment over the file.",
        "signals": "SIGHUP reads the configuration again. SIGTERM and SIGINT end the program.",
        "see also": "controlcore-remediator(1)",
    },
)
REMEDIATOR = Program(
    "repairs Control Core within written policies",
    ".B controlcore\\-remediator\n[\\fIOPTION\\fR ...] \\fICOMMAND\\fR [\\fIARGUMENT\\fR ...]",
    exit_codes.MEANINGS,
    {
        "environment": "CONTROLCORE_REMEDIATOR_<SECTION>__<NAME> gives a setting and wins over the file. "
        "COLUMNS is the width of a table. With NO_COLOR there is no colour.",
        "files": f"{remediator.CONFIG_FILE} holds the settings when no other file is named.",
        "signals": "SIGHUP reads the policy file again. SIGTERM and SIGINT end the program.",
        "see also": "controlcore-exporter(1)",
    },
    "Every command also takes --output and --config.file.",
)


def pages() -> dict[Path, str]:
    """The text of each page, by its file."""
    return {
        FOLDER / "controlcore-exporter.1": write_page(exporter.whole_parser(discover()), EXPORTER),
        FOLDER / "controlcore-remediator.1": write_page(remediator.build_parser(), REMEDIATOR),
    }


def write_page(parser: argparse.ArgumentParser, program: Program) -> str:
    """The page of a program as roff; changes the parser, which is for this page alone."""
    _prepare(parser, program)
    data = {"project_name": "Control Core sidecar", "manual_title": "User Commands", "date": NO_DATE}
    page = Manpage(parser, {**data, "description": program.name}, format="single-commands-section")
    page.add_section("synopsis", "=", program.synopsis)
    statuses = "\n".join(f".TP\n.B {code}\n{_escape(meaning)}" for code, meaning in program.statuses.items())
    page.add_section("exit status", "=", statuses)
    for heading, text in program.sections.items():
        page.add_section(heading, "=", _escape(text))
    return str(page)


def _prepare(parser: argparse.ArgumentParser, program: Program) -> None:
    """Takes from each command what the page says elsewhere: the options of all commands, and its help a second time."""
    parser.epilog = None  # The section of the exit statuses says it.
    parser.description = " ".join(filter(None, (parser.description, program.shared)))
    parser.formatter_class = ONE_LINE
    shared = set(map(id, parser._actions))  # noqa: SLF001 - argparse has no public way to ask
    for command in _commands(parser):
        command.formatter_class = ONE_LINE
        command.usage = _usage(command, shared)
        command.description = None
        for group in command._action_groups:  # noqa: SLF001 - same
            group._group_actions = [each for each in group._group_actions if id(each) not in shared]  # noqa: SLF001 - same


def _usage(command: argparse.ArgumentParser, shared: set[int]) -> str:
    """The command with its own arguments, on one line."""
    own = [action for action in command._actions if id(action) not in shared and action.dest != "help"]  # noqa: SLF001 - same
    formatter = ONE_LINE(command.prog)
    formatter.add_usage(None, own, command._mutually_exclusive_groups, "")  # noqa: SLF001 - same
    return formatter.format_help().strip().replace("%", "%%")


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser of each command."""
    for action in parser._actions:  # noqa: SLF001 - same
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - same
            yield from action.choices.values()


def _escape(text: str) -> str:
    """Plain text as roff."""
    return text.replace("\\", "\\\\").replace("-", "\\-")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, page in pages().items():
        path.write_text(page, encoding="utf-8")
