"""controlcore-remediator: serves the webhook and works, and the commands for people beside it.

`remediations.commands.exit_codes` says what an exit status means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chassis import log
from chassis.config import load
from chassis.errors import ConfigError, InvariantBroken
from chassis.process.build_info import version_line
from chassis.process.lifecycle import Lifecycle, limit_heap, run
from remediations.commands import exit_codes, grants
from remediations.commands.check_config import check_config, check_everything
from remediations.commands.journal import (
    approve,
    list_acts,
    list_pauses,
    list_remediations,
    pause,
    read_duration,
    read_name,
    reject,
    replay_decisions,
    reset,
    resume,
    show,
)
from remediations.commands.serve import make_telemetry, serve
from remediations.commands.simulate import show_plan
from remediations.commands.text import write_error
from remediations.core.model.errors import JournalError
from remediations.journal.approvals import DEFAULT_SECONDS, AnswerError
from remediations.settings import RemediatorSettings

BY_DEFAULT = "default: the user running this; stored as claimed"

Command = Callable[[argparse.Namespace, RemediatorSettings], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its status."""
    limit_heap()
    options = _parser().parse_args(arguments)
    try:
        settings = load(RemediatorSettings, getattr(options, "config_file", None))
        command: Command = options.command
        status = command(options, settings)
    except ConfigError as error:
        for fault in error.faults:
            write_error(f"{fault}")
        status = exit_codes.CONFIG
    except (JournalError, AnswerError) as error:
        write_error(f"journal: {error}" if isinstance(error, JournalError) else str(error))
        status = exit_codes.FAILED
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-o", "--output", choices=("table", "json", "yaml"), default=argparse.SUPPRESS)
    shared.add_argument(
        "--config.file", dest="config_file", type=Path, default=argparse.SUPPRESS, metavar="PATH",
        help="YAML file with the settings; CONTROLCORE_REMEDIATOR_* variables win over it",
    )  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="controlcore-remediator", parents=[shared], description="Repairs Control Core within written policies.",
        epilog=exit_codes.epilog(), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version_line(parser.prog))
    parser.add_argument("--print-settings", action=PrintSettings, nargs=0, help="print every setting as Markdown")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, parents=[shared], help=text, description=text)
        child.set_defaults(command=command)
        return child

    _add_commands(add)
    return parser


class PrintSettings(argparse.Action):
    """Prints every setting with form, default and meaning, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Needs no configuration, so it works before there is one."""
        from chassis.settings_reference import write  # noqa: PLC0415 - nothing else needs it

        sys.stdout.write(write(RemediatorSettings))
        parser.exit()


def _add_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    """Every command with its options."""
    serving = add("serve", _serve, "receive alerts, decide, act")
    serving.add_argument(
        "--config.check", dest="is_check", action="store_true", help="only check, as check-config does"
    )
    listing = add("list", list_remediations, "list remediations, newest first")
    listing.add_argument("--open", dest="only_open", action="store_true", help="only those that are not closed")
    listing.add_argument("--limit", type=int, default=50)
    showing = add("show", show, "tell the whole story of one remediation")
    showing.add_argument("id", metavar="ID", help="an id, the end or beginning of one, or `last`")
    planning = add("plan", show_plan, "tell what would be decided about a payload, and do nothing")
    planning.add_argument("--payload", type=Path, required=True, metavar="FILE", help="Alertmanager's webhook body")
    planning.add_argument("--facts", type=Path, metavar="FILE", help="recorded facts instead of the live systems")
    replaying = add("replay", replay_decisions, "make the decisions of a remediation again")
    replaying.add_argument("id", metavar="ID")
    approving = add("approve", approve, "say yes to the plan that waits")
    rejecting = add("reject", reject, "say no to the plan that waits")
    for answering in (approving, rejecting):
        answering.add_argument("id", metavar="ID")
        answering.add_argument("--plan", default="", metavar="HASH", help="whole hash of the plan that was looked at")
        answering.add_argument("--by", type=read_name, help=f"who answers ({BY_DEFAULT})")
        answering.add_argument("--for", dest="seconds", type=read_duration, default=DEFAULT_SECONDS, metavar="15m")
    pausing = add("pause", pause, "stop every write until resumed; takes effect at the next decision")
    pausing.add_argument("name", metavar="NAME")
    pausing.add_argument("--reason", required=True)
    pausing.add_argument("--owner", "--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    pausing.add_argument("--for", dest="seconds", type=read_duration, default=None, metavar="1h", help="ends by itself")
    resuming = add("resume", resume, "end a pause")
    resuming.add_argument("name", metavar="NAME")
    resuming.add_argument("--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    add("pauses", list_pauses, "list the pauses in force, and who set them")
    breaker = add("breaker", reset, "close the breaker of an action on a target by hand")
    breaker.add_argument("what", choices=("reset",))
    breaker.add_argument("action", metavar="ACTION")
    breaker.add_argument("target", metavar="TARGET", help="Kind/namespace/name")
    breaker.add_argument("--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    acting = add("acts", list_acts, "list who approved, paused, resumed, reset and reloaded, newest first")
    acting.add_argument("--limit", type=int, default=50)
    granting = add(
        "grants", grants.run, "print the SQL of the one right in the product's database: to end idle sessions"
    )
    granting.add_argument("--role", default="controlcore_remediator", help="whose right it is")
    granting.add_argument("--product-role", default="postgres", help="whose sessions may be ended")
    add("check-config", check_config, "report every fault of the settings and the policy file")


def _serve(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Runs until a signal."""
    policy_set = check_everything(settings, is_serving=True)
    if options.is_check:
        return check_config(options, settings)
    log.configure(program="controlcore-remediator", level=settings.log.level, form=settings.log.form)

    telemetry = make_telemetry(policy_set)

    async def body(life: Lifecycle) -> None:
        await serve(life, settings, policy_set, telemetry)

    status = 0
    try:
        run(body)
    except* InvariantBroken as broken:
        log.get_logger().critical("invariant.broken", problem="; ".join(str(error) for error in _leaves(broken)))
        status = exit_codes.FAILED
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors inside a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    main()
