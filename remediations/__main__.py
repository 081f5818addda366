"""controlcore-remediator: serves the webhook and works, and the commands for people beside it.

`remediations.exits` says what an exit status means.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chassis import log
from chassis.clock import SystemClock
from chassis.config import load
from chassis.errors import ConfigError, InvariantBroken
from chassis.process.build_info import version_line
from chassis.process.lifecycle import Lifecycle, limit_heap, run
from remediations import commands, exits, grants, report, standing
from remediations.checking import check_everything
from remediations.commands import actor_here, read_duration, read_name
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Pause
from remediations.core.model.remediation import Remediation
from remediations.core.policies.lint import find_placeholders
from remediations.engine.simulation import replay
from remediations.journal.approvals import DEFAULT_SECONDS, Answer, AnswerError
from remediations.journal.breakers import reset_breaker
from remediations.journal.port import Journal
from remediations.journal.records import acts_content, list_content, story_content
from remediations.journal.sqlite.adapter import open_journal
from remediations.program import make_telemetry, serve
from remediations.settings import RemediatorSettings

SEARCH_LIMIT = 10_000
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
            _complain(f"{fault}")
        status = exits.CONFIG
    except (JournalError, AnswerError) as error:
        _complain(f"journal: {error}" if isinstance(error, JournalError) else str(error))
        status = exits.FAILED
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
        epilog=exits.epilog(), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version_line(parser.prog))
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
    planning = add("plan", _plan, "tell what would be decided about a payload, and do nothing")
    planning.add_argument("--payload", type=Path, required=True, metavar="FILE", help="Alertmanager's webhook body")
    planning.add_argument("--facts", type=Path, metavar="FILE", help="recorded facts instead of the live systems")
    replaying = add("replay", _replay, "make the decisions of a remediation again")
    replaying.add_argument("id", metavar="ID")
    approving = add("approve", _approve, "say yes to the plan that waits")
    rejecting = add("reject", _reject, "say no to the plan that waits")
    for answering in (approving, rejecting):
        answering.add_argument("id", metavar="ID")
        answering.add_argument("--plan", default="", metavar="HASH", help="whole hash of the plan that was looked at")
        answering.add_argument("--by", type=read_name, help=f"who answers ({BY_DEFAULT})")
        answering.add_argument("--for", dest="seconds", type=read_duration, default=DEFAULT_SECONDS, metavar="15m")
    pausing = add("pause", _pause, "stop every write until resumed; takes effect at the next decision")
    pausing.add_argument("name", metavar="NAME")
    pausing.add_argument("--reason", required=True)
    pausing.add_argument("--owner", "--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    pausing.add_argument("--for", dest="seconds", type=read_duration, default=None, metavar="1h", help="ends by itself")
    resuming = add("resume", _resume, "end a pause")
    resuming.add_argument("name", metavar="NAME")
    resuming.add_argument("--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    add("pauses", _pauses, "list the pauses in force, and who set them")
    breaker = add("breaker", _reset_breaker, "close the breaker of an action on a target by hand")
    breaker.add_argument("what", choices=("reset",))
    breaker.add_argument("action", metavar="ACTION")
    breaker.add_argument("target", metavar="TARGET", help="Kind/namespace/name")
    breaker.add_argument("--by", type=read_name, help=f"who asks for it ({BY_DEFAULT})")
    acting = add("acts", _acts, "list who approved, paused, resumed, reset and reloaded, newest first")
    acting.add_argument("--limit", type=int, default=50)
    granting = add(
        "grants", grants.run, "print the SQL of the one right in the product's database: to end idle sessions"
    )
    granting.add_argument("--role", default="controlcore_remediator", help="whose right it is")
    granting.add_argument("--product-role", default="postgres", help="whose sessions may be ended")
    add("check-config", _check, "report every fault of the settings and the policy file")


def _tell(options: argparse.Namespace, content: Any, text: str) -> int:
    """Prints an answer in the form that was asked for; the status of success."""
    form = getattr(options, "output", "table")
    sys.stdout.write(text if form == "table" else commands.render_data(content, form))
    return 0


def _complain(text: str) -> None:
    """One line about what is wrong."""
    sys.stderr.write(f"controlcore-remediator: {report.printable_lines(text)}\n")


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
        status = exits.FAILED
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors inside a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _check(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints what would be in force."""
    policy_set = check_everything(settings, is_serving=False)
    proofs = asyncio.run(standing.prove_all(settings, policy_set))
    found = standing.standing_data(policy_set, proofs)
    _tell(options, found, standing.render_standing(found, proofs))
    for index, key, sentence in find_placeholders(policy_set):
        _complain(f"warning: policies[{index}].{key}: {sentence}")
    if not settings.token_files():
        _complain("warning: server.token_file is not set; serve will refuse to start")
    return 0


def _list(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the newest remediations."""

    async def work(journal: Journal) -> int:
        found = await journal.listing(only_open=options.only_open, limit=options.limit)
        now = SystemClock().now()
        answers = await journal.newest_answers([item.id for item in found])
        return _tell(options, list_content(found, answers), report.render_list(found, answers, now))

    return _with_journal(settings, work)


def _show(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints one story."""

    async def work(journal: Journal) -> int:
        story = await journal.story(await _one(journal, options.id))
        return _tell(options, story_content(*story), report.render_story(*story))

    return _with_journal(settings, work)


def _plan(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints what would be decided."""
    options.output = getattr(options, "output", "table")
    status, text = commands.plan(options, settings)
    sys.stdout.write(text)
    return status


def _replay(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints each decision as it was and as it would be now."""

    async def work(journal: Journal) -> int:
        told = await replay(journal, await _one(journal, options.id))
        rows = [(log.format_timestamp(item["at"]), item["then"], item["now"]) for item in told]
        _tell(options, told, report.table([("AT", "THEN", "NOW"), *rows]))
        return 0 if all(item["is_same"] for item in told) else exits.FAILED

    return _with_journal(settings, work)


def _approve(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Says yes."""
    return _answer(options, settings, is_approved=True)


def _reject(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Says no."""
    return _answer(options, settings, is_approved=False)


def _answer(options: argparse.Namespace, settings: RemediatorSettings, *, is_approved: bool) -> int:
    """Stores an answer; an approval without the hash of a plan only shows what waits."""

    async def work(journal: Journal) -> int:
        name = await _one(journal, options.id)
        if is_approved and not options.plan:
            sys.stdout.write(await commands.waiting_difference(journal, name))
            _complain("name the plan that you looked at by its whole hash: --plan HASH")
            return exits.CONFIG
        given = Answer(actor_here(options.by), is_approved, options.plan, options.seconds)
        return _tell(options, *await commands.answer(journal, name, given, SystemClock().now()))

    return _with_journal(settings, work)


async def _one(journal: Journal, text: str) -> str:
    """The id of the one remediation that is meant; raises AnswerError for none or several."""
    found = await _find(journal, text)
    if len(found) != 1:
        raise AnswerError(f"{'several remediations fit' if found else 'no remediation fits'} {text!r}")
    return found[0].id


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
        actor = actor_here(options.owner)
        await journal.pause(Pause(options.name, actor.label, options.reason, until), now, actor)
        words = f"paused: {options.name}{'' if until is None else f' until {log.format_timestamp(until)}'}\n"
        return _tell(options, {"paused": options.name, "until": until}, words)

    return _with_journal(settings, work)


def _resume(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Ends a pause."""

    async def work(journal: Journal) -> int:
        if await journal.resume(options.name, SystemClock().now(), actor_here(options.by)):
            return _tell(options, {"resumed": options.name}, f"resumed: {options.name}\n")
        _complain(f"no pause named {options.name!r} is in force")
        return exits.FAILED

    return _with_journal(settings, work)


def _pauses(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the pauses in force."""

    async def work(journal: Journal) -> int:
        found = await journal.pauses(SystemClock().now())
        return _tell(options, [asdict(item) for item in found], report.render_pauses(found))

    return _with_journal(settings, work)


def _reset_breaker(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Closes a breaker."""

    async def work(journal: Journal) -> int:
        actor, now = actor_here(options.by), SystemClock().now()
        reset = await reset_breaker(journal, options.action, options.target, actor, now)
        return _tell(options, asdict(reset), f"breaker reset: {reset.action} on {reset.target}\n")

    return _with_journal(settings, work)


def _acts(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints who did what."""

    async def work(journal: Journal) -> int:
        found = await journal.acts(options.limit)
        return _tell(options, acts_content(found), report.render_acts(found))

    return _with_journal(settings, work)


def _with_journal(settings: RemediatorSettings, work: Callable[[Journal], Awaitable[int]]) -> int:
    """The work's exit status, on the journal that `serve` uses (it may be running)."""
    path = settings.journal.path
    if not path.exists():
        _complain(f"there is no journal at {path} (setting journal.path)")
        return exits.FAILED

    async def open_and_work() -> int:
        # Not checked for damage: `serve` has done so, and a large journal takes seconds to read.
        seconds = settings.journal.timeout_seconds
        async with open_journal(path, timeout_seconds=seconds, is_checked=False) as journal:
            return await work(journal)

    return asyncio.run(open_and_work())


if __name__ == "__main__":
    main()
