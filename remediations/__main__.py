"""controlcore-remediator: serves the webhook and works, and the commands for people beside it.

Exit status: 0 done, 1 something failed, 2 the command line or the configuration is wrong (all faults are printed).
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from chassis import log
from chassis.clock import SystemClock
from chassis.config import load
from chassis.errors import ConfigError, InvariantBroken
from chassis.lifecycle import Lifecycle, run
from chassis.telemetry import version
from remediations import report
from remediations.journal.port import Journal, JournalError, Remediation
from remediations.journal.sqlite import open_journal
from remediations.model import Pause
from remediations.program import check_everything, make_telemetry, serve
from remediations.settings import RemediatorSettings

EXIT_FAILED, EXIT_CONFIG = 1, 2
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SEARCH_LIMIT = 10_000

Command = Callable[[argparse.Namespace, RemediatorSettings], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(RemediatorSettings, getattr(options, "config_file", None))
        command: Command = options.command
        status = command(options, settings)
    except ConfigError as error:
        for fault in error.faults:
            _complain(f"{fault}")
        status = EXIT_CONFIG
    except JournalError as error:
        _complain(f"journal: {error}")
        status = EXIT_FAILED
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config.file", dest="config_file", type=Path, default=argparse.SUPPRESS, metavar="PATH",
        help="YAML file with the settings; CONTROLCORE_REMEDIATOR_* variables win over it",
    )  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="controlcore-remediator", parents=[shared], description="Repairs Control Core within written policies."
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, parents=[shared], help=text, description=text)
        child.set_defaults(command=command)
        return child

    _add_commands(add)
    return parser


def _add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Every command with its options."""
    serving = add("serve", _serve, "receive alerts, decide, act")
    serving.add_argument(
        "--config.check", dest="is_check", action="store_true", help="only check, as check-config does"
    )
    listing = add("list", _list, "list remediations, newest first")
    listing.add_argument("--open", dest="only_open", action="store_true", help="only those that are not closed")
    listing.add_argument("--limit", type=int, default=50)
    showing = add("show", _show, "tell the whole story of one remediation")
    showing.add_argument("id", metavar="ID", help="an id, the end or beginning of one, or `last`")
    for child in (listing, showing):
        child.add_argument("--output", choices=("table", "json"), default="table")
    pausing = add("pause", _pause, "stop every write until resumed; takes effect at the next decision")
    pausing.add_argument("name", metavar="NAME")
    pausing.add_argument("--reason", required=True)
    pausing.add_argument("--owner", default=None, help="who asks for it (default: the user running this)")
    pausing.add_argument("--for", dest="seconds", type=_duration, default=None, metavar="1h", help="ends by itself")
    resuming = add("resume", _resume, "end a pause")
    resuming.add_argument("name", metavar="NAME")
    add("check-config", _check, "report every fault of the settings and the policy file")


def _say(text: str) -> None:
    """One line for whoever asked."""
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"controlcore-remediator: {text}\n")


def _duration(text: str) -> float:
    """Seconds of a duration such as 90s, 15m, 1h30m, 2d."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 15m, 1h30m or 2d, got {text!r}")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def _serve(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Runs until a signal."""
    policy_set = check_everything(settings, is_serving=True)
    if options.is_check:
        return _check(options, settings)
    log.configure(program="controlcore-remediator", level=settings.log.level, form=settings.log.form)

    telemetry = make_telemetry(policy_set)

    async def body(life: Lifecycle) -> None:
        await serve(life, settings, policy_set, telemetry)

    status = 0
    try:
        run(body)
    except* InvariantBroken as broken:
        log.get_logger().critical("invariant.broken", problem="; ".join(str(error) for error in _leaves(broken)))
        status = EXIT_FAILED
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors inside a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _check(_options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints what would be in force."""
    policy_set = check_everything(settings, is_serving=False)
    rows = [("POLICY", "MODE", "ACTION", "TARGETS")]
    rows += [
        (item.name, item.mode.value, item.action, ", ".join(target.key for target in item.targets))
        for item in policy_set.policies
    ]
    sys.stdout.write(report.table(rows))
    if not settings.token_files():
        _complain("warning: server.token_file is not set; serve will refuse to start")
    return 0


def _list(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the newest remediations."""

    async def work(journal: Journal) -> int:
        found = await journal.listing(only_open=options.only_open, limit=options.limit)
        now = SystemClock().now()
        sys.stdout.write(report.list_data(found) if options.output == "json" else report.render_list(found, now))
        return 0

    return _with_journal(settings, work)


def _show(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints one story."""

    async def work(journal: Journal) -> int:
        found = await _find(journal, options.id)
        if len(found) != 1:
            words = "several remediations fit" if found else "no remediation fits"
            _complain(f"{words} {options.id!r}")
            return EXIT_FAILED
        remediation, records = await journal.story(found[0].id)
        is_json = options.output == "json"
        render = report.story_data if is_json else report.render_story
        sys.stdout.write(render(remediation, records))
        return 0

    return _with_journal(settings, work)


async def _find(journal: Journal, text: str) -> Sequence[Remediation]:
    """The remediations that an id, a part of one, or `last` means."""
    if text == "last":
        return await journal.listing(limit=1)
    found = await journal.listing(limit=SEARCH_LIMIT)
    return [item for item in found if item.id.startswith(text) or item.id.endswith(text)]


def _pause(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Sets a pause."""

    async def work(journal: Journal) -> int:
        now = SystemClock().now()
        until = None if options.seconds is None else now + options.seconds
        await journal.pause(Pause(options.name, options.owner or _user(), options.reason, until), now)
        _say(f"paused: {options.name}{'' if until is None else f' until {log.format_timestamp(until)}'}")
        return 0

    return _with_journal(settings, work)


def _resume(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Ends a pause."""

    async def work(journal: Journal) -> int:
        if await journal.resume(options.name, SystemClock().now()):
            _say(f"resumed: {options.name}")
            return 0
        _complain(f"no pause named {options.name!r} is in force")
        return EXIT_FAILED

    return _with_journal(settings, work)


def _user() -> str:
    """Who runs this, as far as it can be told."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _with_journal(settings: RemediatorSettings, work: Callable[[Journal], Awaitable[int]]) -> int:
    """The work's exit status, on the journal that `serve` uses (it may be running)."""
    path = settings.journal.path
    if not path.exists():
        _complain(f"there is no journal at {path} (setting journal.path)")
        return EXIT_FAILED

    async def open_and_work() -> int:
        async with open_journal(path) as journal:
            return await work(journal)

    return asyncio.run(open_and_work())


if __name__ == "__main__":
    main()
