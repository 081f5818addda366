"""A command line whose errors are one line, with a suggestion for a mistyped word."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from chassis.errors import did_you_mean

EXIT_USAGE = 2
CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<choices>.*)\)")
"""argparse's message for a word outside a closed set."""


class CommandLine(argparse.ArgumentParser):
    """argparse without the usage in front of an error; `--help` has the options."""

    def __init__(self, *arguments: Any, commands: Iterable[str] = (), **options: Any) -> None:
        """`commands` are words that the program handles before it uses this parser."""
        super().__init__(*arguments, **options)
        self._commands = tuple(commands)
        self._given: tuple[str, ...] = ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override] # one for all
        """The options; on an error it ends the program with status 2 and one line."""
        self._given = tuple(sys.argv[1:] if args is None else args)
        options, unknown = self.parse_known_args(self._given, namespace)
        if unknown:
            asked = self._asked()
            asked.error(f"unrecognized arguments: {' '.join(unknown)}{asked.suggest(unknown[0])}")
        return options

    def error(self, message: str) -> NoReturn:
        """Ends with status 2. The message also names an unknown option whose value was parsed as something else."""
        found = CHOICE.search(message)
        if found is not None:
            message += did_you_mean(found["given"], re.findall(r"[\w.-]+", found["choices"]), before="; ")
            flags = [word for word in self._given if word.startswith("--") and not self.has_option(word)]
            message += "".join(f"; {flag} is not an option{self.suggest(flag)}" for flag in flags[:1])
        end = "" if message.endswith("?") else ";"
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}{end} {self.prog} --help lists the options\n")

    def suggest(self, word: str) -> str:
        """A suggestion for an unknown word, as the end of a sentence; empty if no word is similar."""
        return did_you_mean(word.partition("=")[0], (*self._commands, *self._option_string_actions), before="; ")

    def has_option(self, word: str) -> bool:
        """Whether an option, also of a command, begins like this: argparse accepts abbreviations."""
        name = word.partition("=")[0]
        is_own = any(option.startswith(name) for option in self._option_string_actions)
        return is_own or any(parser.has_option(word) for parser in self._parsers().values())

    def _parsers(self) -> Mapping[str, CommandLine]:
        """The commands' own parsers."""
        return next((action.choices for action in self._actions if isinstance(action.choices, dict)), {})

    def _asked(self) -> CommandLine:
        """The parser of the command that was given; this one without a command."""
        parsers = self._parsers()
        return next((parsers[word] for word in self._given if word in parsers), self)


def add_healthcheck_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command `healthcheck` of both programs, besides the configuration file."""
    parser.add_argument(
        "--url", action="append", type=http_address, default=[], metavar="URL",
        help="check this address instead of the configured one; may be repeated: one healthy answer is enough",
    )  # fmt: skip
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="for each address (5)")


def http_address(text: str) -> str:
    """The text, if it is a URL with a host and a port."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_whole = False
    if not is_whole:
        raise argparse.ArgumentTypeError(f"expected a URL such as http://127.0.0.1:9877, got {text!r}")
    return text
