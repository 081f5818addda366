"""The commands that pause everything, one policy or one target, resume it, and list the pauses."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from shlex import quote

from chassis.clock import SystemClock
from chassis.errors import ConfigError, Fault
from remediations.commands.journal.file import actor_here, with_journal
from remediations.commands.output import exit_codes as exits
from remediations.commands.output.text import command_line, render_pauses, until_words, write_error, write_output
from remediations.core.codec import to_data
from remediations.core.model.facts import Pause
from remediations.facts.pause_file import NAME, read_pauses
from remediations.journal.port import Journal
from remediations.settings import RemediatorSettings

EVERYTHING = "everything"
"""Name of a pause of everything if none was given."""
HOW = "say what to pause: --policy NAME, --target KIND/NAMESPACE/NAME or --all"
WHY = "say why you pause: everyone who sees the pause reads it"


def pause(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Sets a pause."""

    async def work(journal: Journal) -> int:
        name, policy, target = await asyncio.to_thread(_meant, options, settings)
        now = SystemClock().now()
        until = None if options.seconds is None else now + options.seconds
        actor = actor_here(options.owner)
        wanted = Pause(name, actor.label, options.reason, until, policy, target, since=now)
        await journal.pause(wanted, now, actor)
        others = "" if wanted.is_of_everything else "; everything else continues"
        words = (
            f"{wanted.scope} is paused {until_words(until)} (pause {name}){others}\n"
            f"end it: {command_line(options, settings)} resume {quote(name)}\n"
        )
        return write_output(options, {"paused": name, "until": until, "scope": wanted.scope} | to_data(wanted), words)

    return with_journal(options, settings, work)


def _meant(options: argparse.Namespace, settings: RemediatorSettings) -> tuple[str, str, str]:
    """Name, policy and target of the wanted pause; raises ConfigError. Blocks on the disk.

    A single word that is the name of a policy or target means that policy or target, not everything. With --all the
    policy file is not read, so it may be broken.
    """
    given = options.name or ""
    is_open = not (options.is_all or options.policy or options.target or given)
    faults = (*((Fault("pause", HOW),) if is_open else ()), *(() if options.reason else (Fault("--reason", WHY),)))
    if faults:
        raise ConfigError(faults)
    if options.is_all:
        return given or EVERYTHING, "", ""
    from remediations.commands.policy_store import read_policies  # noqa: PLC0415 - only this needs the policies
    from remediations.journal.pauses import find_policy, find_target, fitting_targets, require_meant  # noqa: PLC0415

    try:
        policy_set = read_policies(settings.policies_file)
    except ConfigError as error:
        raise ConfigError(
            (*error.faults, Fault("pause", "--all stops everything and does not read the policy file"))
        ) from None
    is_policy = policy_set.named(given) is not None
    try:
        if options.policy or (is_policy and not options.target):
            policy = find_policy(policy_set, options.policy or given)
            return given or policy, policy, ""
        if options.target or "/" in given or fitting_targets(policy_set, given):
            target = find_target(policy_set, options.target or given)
            return given or target, "", target
        require_meant(policy_set, given)
    except ValueError as error:
        raise ConfigError((Fault("pause", f"{error}; {HOW}"),)) from None
    return given, "", ""


def resume(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Ends a pause."""

    async def work(journal: Journal) -> int:
        now = SystemClock().now()
        if await journal.resume(options.name, now, actor_here(options.by)):
            return write_output(options, {"resumed": options.name}, f"resumed: {options.name}\n")
        file = settings.pause_file
        if options.name == NAME and file is not None and await asyncio.to_thread(file.exists):
            write_error(f"the pause file stops everything until it is removed: rm {quote(str(file))}")
            return exits.FAILED
        names = ", ".join(item.name for item in await journal.pauses(now)) or "none"
        write_error(f"no pause named {options.name!r} is in force; there are: {names}")
        return exits.FAILED

    return with_journal(options, settings, work)


def list_pauses(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints the pauses in force."""

    async def work(journal: Journal) -> int:
        found = await pauses_in_force(journal, settings)
        problems = await asyncio.to_thread(_problems, settings, found)
        pairs = zip(found, problems, strict=True)
        content = [to_data(item) | {"scope": item.scope, "problem": problem} for item, problem in pairs]
        return write_output(options, content, render_pauses(found, problems, SystemClock().now()))

    return with_journal(options, settings, work)


def _problems(settings: RemediatorSettings, pauses: Sequence[Pause]) -> list[str]:
    """For each pause why it has no effect, or why that is unknown; empty if it has an effect. Blocks on the disk."""
    from remediations.commands.policy_store import read_policies  # noqa: PLC0415 - only this needs the policies
    from remediations.journal.pauses import find_mismatch  # noqa: PLC0415

    if all(pause.is_of_everything for pause in pauses):
        return [""] * len(pauses)
    try:
        policy_set = read_policies(settings.policies_file)
    except ConfigError:
        unknown = "unknown whether it has any effect: the policy file has faults"
        return ["" if pause.is_of_everything else unknown for pause in pauses]
    mismatches = (find_mismatch(policy_set, pause) for pause in pauses)
    return [found and f"it has no effect: {found}" for found in mismatches]


async def pauses_in_force(journal: Journal, settings: RemediatorSettings) -> Sequence[Pause]:
    """The pauses of the journal, and the pause file."""
    found = await journal.pauses(SystemClock().now())
    return await asyncio.to_thread(read_pauses, settings.pause_file, found)
