"""controlcore-remediator: the serving program (webhook, API, engine), and the commands for people.

`remediations.commands.output.exit_codes` explains the exit statuses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from chassis.process.build_info import version_line
from chassis.process.command_line import CommandLine, add_healthcheck_options, http_address
from chassis.process.heap import limit_heap
from chassis.process.pipe import run_in_pipe
from remediations.commands.arguments import OUTCOMES, STATES, read_limit, read_name, read_since, read_span
from remediations.commands.output import exit_codes

FORMS = ("table", "wide", "name", "json", "yaml")
CONFIG_FILE = Path("/etc/controlcore-remediator/config.yaml")
"""The settings file when none is given: the path that the chart and the systemd unit use."""
READ_POLICIES = frozenset(
    {"serve.run_serve", "check_config.check_config", "simulate.show_plan", "doctor.checks.run_doctor"}
)
"""Commands that need the policy file: its faults are reported together with those of the settings."""
HEALTHCHECK = "healthcheck"
"""A command that starts twice a minute: it loads neither settings nor policies."""
BY_DEFAULT = "default: the user who runs this; stored as claimed"

Add = Callable[[str, str, str], argparse.ArgumentParser]
"""Adds a command: its name, `module.function` under remediations.commands, and what it does.

The module is imported when the command runs, so `--help` and `--version` import none of them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its status."""
    limit_heap()
    options = build_parser().parse_args(arguments)
    options.is_file_given = hasattr(options, "config_file")
    if not options.is_file_given and CONFIG_FILE.is_file():
        options.config_file = CONFIG_FILE
    sys.exit(run_in_pipe(lambda: _run(options)))


def _run(options: argparse.Namespace) -> int:
    """The exit status of the command, with its faults printed."""
    if options.command == HEALTHCHECK:
        from chassis.http import healthcheck  # noqa: PLC0415 - only this command needs it

        return healthcheck.run(options, "CONTROLCORE_REMEDIATOR_", 9878, getattr(options, "config_file", None))
    from chassis.config import load  # noqa: PLC0415 - pydantic; the parser does without
    from chassis.errors import ConfigError  # noqa: PLC0415
    from remediations.commands.output.text import write_error  # noqa: PLC0415
    from remediations.core.model.errors import JournalError  # noqa: PLC0415
    from remediations.journal.approvals import AnswerError  # noqa: PLC0415
    from remediations.settings import RemediatorSettings  # noqa: PLC0415

    module, _, function = options.command.rpartition(".")
    path = getattr(options, "config_file", None)
    try:
        try:
            settings = load(RemediatorSettings, path)
        except ConfigError as error:
            from remediations.commands.faults import faults_of_files  # noqa: PLC0415 - brings the policies' parts

            has_policies = options.command in READ_POLICIES
            raise ConfigError(faults_of_files(error, path, has_policies=has_policies)) from None
        return int(getattr(import_module(f"remediations.commands.{module}"), function)(options, settings))
    except ConfigError as error:
        from remediations.commands.faults import name_file  # noqa: PLC0415 - same

        for fault in name_file(error.faults, path):
            write_error(f"{fault}")
        return exit_codes.CONFIG
    except (JournalError, AnswerError) as error:
        write_error(f"journal: {error}" if isinstance(error, JournalError) else str(error))
        return exit_codes.FAILED


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    shared = CommandLine(add_help=False)
    shared.add_argument(
        "-o", "--output", choices=FORMS, default=argparse.SUPPRESS, help="`wide` and `name` work only with `list`",
    )  # fmt: skip
    shared.add_argument(
        "--config.file", dest="config_file", type=Path, default=argparse.SUPPRESS, metavar="PATH",
        help=f"YAML file with the settings (default {CONFIG_FILE}, if there is one);"
        " CONTROLCORE_REMEDIATOR_* variables win over it",
    )  # fmt: skip
    parser = CommandLine(
        prog="controlcore-remediator", parents=[shared], description="Repairs Control Core within written policies.",
        epilog=exit_codes.epilog(), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version_line(parser.prog))
    parser.add_argument("--print-settings", action=PrintSettings, nargs=0, help="print every setting as Markdown")
    parser.add_argument(
        "--print-completion", action=PrintCompletion, choices=("bash", "zsh", "fish"), metavar="SHELL",
        help="print the completion for bash, zsh or fish",
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: str, text: str) -> argparse.ArgumentParser:
        child = commands.add_parser(name, parents=[shared], help=text, description=text)
        child.set_defaults(command=command)
        return child

    _add_commands(add)
    return parser


class PrintSettings(argparse.Action):
    """Prints every setting with form, default and meaning, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Needs no configuration, so it works before there is one."""
        from chassis.output.settings_reference import write  # noqa: PLC0415 - nothing else needs them
        from remediations.settings import RemediatorSettings  # noqa: PLC0415

        sys.stdout.write(write(RemediatorSettings))
        parser.exit()


class PrintCompletion(argparse.Action):
    """Prints the completion for a shell, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, _space: object, value: object, _name: object = None) -> None:
        """Needs no configuration."""
        from chassis.process.completion import write_completion  # noqa: PLC0415 - nothing else needs it

        sys.stdout.write(write_completion(parser, str(value)))
        parser.exit()


def _add_commands(add: Add) -> None:
    """Every command with its options."""
    serving = add("serve", "serve.run_serve", "receive alerts, decide, act")
    serving.add_argument(
        "--config.check", dest="is_check", action="store_true", help="only check, as check-config does"
    )
    _add_list(add)
    showing = add("show", "journal.remediation.show", "show everything about one remediation")
    showing.add_argument("id", metavar="ID", help="an id, the end or beginning of one, or `last`")
    showing.add_argument(
        "-v", "--verbose", dest="is_verbose", action="store_true", help="each guard and fact, with codes"
    )
    planning = add("plan", "simulate.show_plan", "show the decision for a payload without acting")
    planning.add_argument("--payload", type=Path, required=True, metavar="FILE", help="Alertmanager's webhook body")
    planning.add_argument("--facts", type=Path, metavar="FILE", help="recorded facts instead of the live systems")
    replaying = add("replay", "journal.remediation.replay_decisions", "make the decisions of a remediation again")
    replaying.add_argument("id", metavar="ID", help="as in `show`")
    approving = add("approve", "journal.remediation.approve", "approve the pending plan")
    rejecting = add("reject", "journal.remediation.reject", "reject the pending plan")
    for answering in (approving, rejecting):
        answering.add_argument("id", metavar="ID", help="as in `show`")
        answering.add_argument("--plan", default="", metavar="HASH", help="full hash of the plan that you have read")
        answering.add_argument("--by", type=read_name, help=f"name of the person who answers ({BY_DEFAULT})")
        answering.add_argument(
            "--for", dest="seconds", type=read_span, default=None, metavar="15m", help="how long the answer is valid",
        )  # fmt: skip
    _add_pauses(add)
    breaker = add("breaker", "journal.acts.reset", "close the breaker of an action on a target")
    breaker.add_argument("what", choices=("reset",), help="its action")
    breaker.add_argument("action", metavar="ACTION", help="such as restart_workload")
    breaker.add_argument("target", metavar="TARGET", help="Kind/namespace/name")
    breaker.add_argument("--by", type=read_name, help=f"name of the person who resets it ({BY_DEFAULT})")
    acting = add("acts", "journal.acts.list_acts", "list who approved, paused, resumed, reset and reloaded")
    acting.add_argument("--limit", type=int, default=50, metavar="N", help="maximum number (50)")
    granting = add(
        "grants", "grants.run", "print the SQL for the only right in the product's database: to end idle sessions"
    )
    granting.add_argument(
        "--role", default="controlcore_remediator", metavar="NAME",
        help="the remediator's own role, the user in its database.url (default controlcore_remediator)",
    )  # fmt: skip
    granting.add_argument(
        "--product-role", default="postgres", metavar="NAME",
        help="the role whose idle sessions may be ended: the user in the DATABASE_URL of the product's API"
        " (default postgres)",
    )  # fmt: skip
    add("check-config", "check_config.check_config", "report every fault of the settings and the policy file")
    examining = add(
        "doctor",
        "doctor.checks.run_doctor",
        "check the whole installation, and say how to fix each fault; changes nothing",
    )
    examining.add_argument(
        "--send-alert", dest="is_sending", action="store_true",
        help="also send a test alert through each Alertmanager, and wait until it arrives; nothing acts on it",
    )  # fmt: skip
    examining.add_argument(
        "--url", type=http_address, default=None, metavar="URL",
        help="the running program, if it is not on this machine; the checks of its journal are left out",
    )  # fmt: skip
    add_healthcheck_options(
        add(HEALTHCHECK, HEALTHCHECK, "check the health of the program that serves on this machine: status 0 or 1")
    )


def _add_list(add: Add) -> None:
    """The command that lists, with its filters."""
    listing = add("list", "journal.listing.list_remediations", "list remediations with their states, newest first")
    listing.add_argument("--open", dest="only_open", action="store_true", help="only those that are not closed")
    listing.add_argument("--policy", default="", metavar="POLICY", help="only those of this policy and its reverts")
    listing.add_argument(
        "--target",
        default="",
        metavar="TARGET",
        help=("only those on this Kind/namespace/name, or on objects with this name"),
    )
    listing.add_argument("--state", default="", choices=STATES, metavar="STATE", help=f"one of {', '.join(STATES)}")
    listing.add_argument(
        "--outcome", default="", choices=OUTCOMES, metavar="OUTCOME", help=f"one of {', '.join(OUTCOMES)}"
    )
    listing.add_argument(
        "--reason", default="", metavar="REASON", help=("reason of the hold or of the end, such as cooldown")
    )
    listing.add_argument(
        "--since", type=read_since, metavar="2h", help="started within this time, or since an ISO time"
    )
    listing.add_argument(
        "--limit", type=read_limit, default=50, metavar="N", help="maximum number (default 50); 0: all"
    )
    listing.add_argument("--watch", "-w", dest="is_watching", action="store_true", help="repeat the list every 2 s")


def _add_pauses(add: Add) -> None:
    """The commands that pause and resume writes."""
    pausing = add("pause", "journal.pauses.pause", "stop the writes of one policy, on one target, or all")
    pausing.add_argument(
        "name", metavar="NAME", nargs="?",
        help="a policy or target to pause; any other word names a pause of everything",
    )  # fmt: skip
    scope = pausing.add_mutually_exclusive_group()
    scope.add_argument("--policy", metavar="POLICY", help="stop only this policy; NAME is then the name of the pause")
    scope.add_argument("--target", metavar="TARGET", help="stop only changes of Kind/namespace/name")
    scope.add_argument("--all", dest="is_all", action="store_true", help="stop everything; needs no policy file")
    pausing.add_argument("--reason", help="reason (required), shown to everyone who sees the pause")
    pausing.add_argument("--owner", "--by", type=read_name, help=f"name of the person who requests it ({BY_DEFAULT})")
    pausing.add_argument(
        "--for",
        dest="seconds",
        type=read_span,
        default=None,
        metavar="1h",
        help=("end the pause automatically after this time"),
    )
    resuming = add("resume", "journal.pauses.resume", "end a pause")
    resuming.add_argument("name", metavar="NAME", help="name as shown by `pauses`")
    resuming.add_argument("--by", type=read_name, help=f"name of the person who requests it ({BY_DEFAULT})")
    add(
        "pauses",
        "journal.pauses.list_pauses",
        "list the pauses in force: what each stops, who, until when, why",
    )


if __name__ == "__main__":
    main()
