"""The commands about one remediation: show, replay, approve, reject."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from chassis.clock import SystemClock, format_rfc3339
from chassis.output.terminal import table, width
from remediations.commands.journal.file import actor_here, with_journal
from remediations.commands.journal.pauses import pauses_in_force
from remediations.commands.output import exit_codes as exits
from remediations.commands.output.story import StoryView, render_story
from remediations.commands.output.text import (
    command_line,
    printable_lines,
    render_banner,
    write_error,
    write_output,
)
from remediations.core.codec import to_data
from remediations.core.model.remediation import Remediation
from remediations.journal.approvals import DEFAULT_SECONDS, AnswerError, ApprovalAnswer, find_proposal, give_answer
from remediations.journal.port import Journal
from remediations.journal.records import story_content
from remediations.journal.standing import read_standings
from remediations.settings import RemediatorSettings


async def answer(
    journal: Journal, remediation_id: str, given: ApprovalAnswer, now: float
) -> tuple[dict[str, Any], str]:
    """Stores an answer; returns it as data and as text. Raises AnswerError."""
    approval = await give_answer(journal, remediation_id, given, now)
    word = "approved" if given.is_approved else "rejected"
    return to_data(approval), f"{word}: {approval.remediation}, plan {approval.plan_hash}\n"


async def waiting_difference(journal: Journal, remediation_id: str) -> tuple[str, str]:
    """Hash of the waiting plan, and its changes; raises AnswerError if none waits."""
    _, records = await journal.story(remediation_id)
    proposal = find_proposal(records)
    if proposal is None:
        raise AnswerError(f"no plan of {remediation_id} waits for approval")
    name = str(proposal["plan_hash"])
    return name, f"plan {name}\n{printable_lines(str(proposal['difference']))}\n"


SEARCH_LIMIT = 10_000


def show(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints everything about one remediation."""

    async def work(journal: Journal) -> int:
        remediation, records = await journal.story(await _one(journal, options.id))
        (standing,) = await read_standings(journal, [remediation])
        policy, target = remediation.policy, remediation.target.key
        pauses = tuple(item for item in await pauses_in_force(journal, settings) if item.covers(policy, target))
        view = StoryView(
            SystemClock().now(), command_line(options, settings), is_verbose=options.is_verbose, pauses=pauses
        )
        content = story_content(remediation, records)
        content["remediation"] |= standing.to_data()
        return write_output(options, content, render_banner(pauses) + render_story(standing, records, view))

    return with_journal(options, settings, work)


def replay_decisions(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints each decision as it was and as it would be now."""

    async def work(journal: Journal) -> int:
        from remediations.engine.simulation import replay  # noqa: PLC0415 - brings guards and actions; only this needs it

        told = await replay(journal, await _one(journal, options.id))
        rows = [(format_rfc3339(item["at"]), item["then"], item["now"]) for item in told]
        write_output(options, told, table([("AT", "THEN", "NOW"), *rows], width()))
        return 0 if all(item["is_same"] for item in told) else exits.FAILED

    return with_journal(options, settings, work)


def approve(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Approves."""
    return _answer(options, settings, is_approved=True)


def reject(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Rejects."""
    return _answer(options, settings, is_approved=False)


def _answer(options: argparse.Namespace, settings: RemediatorSettings, *, is_approved: bool) -> int:
    """Stores an answer; an approval without the hash of a plan only shows the waiting plan."""

    async def work(journal: Journal) -> int:
        name = await _one(journal, options.id)
        if is_approved and not options.plan:
            found, difference = await waiting_difference(journal, name)
            sys.stdout.write(difference)
            line = f"{command_line(options, settings)} approve {name} --plan {found}"
            write_error(f"name the plan that you have read by its full hash: {line}")
            return exits.CONFIG
        given = ApprovalAnswer(actor_here(options.by), is_approved, options.plan, options.seconds or DEFAULT_SECONDS)
        return write_output(options, *await answer(journal, name, given, SystemClock().now()))

    return with_journal(options, settings, work)


async def _one(journal: Journal, text: str) -> str:
    """The id of exactly one matching remediation; raises AnswerError for none or several."""
    found = await _find(journal, text)
    if len(found) != 1:
        raise AnswerError(f"{'several remediations match' if found else 'no remediation matches'} {text!r}")
    return found[0].id


async def _find(journal: Journal, text: str) -> Sequence[Remediation]:
    """The remediations that match an id, a part of one, or `last`."""
    if text == "last":
        return await journal.listing(limit=1)
    found = await journal.listing(limit=SEARCH_LIMIT)
    return [item for item in found if item.id.startswith(text) or item.id.endswith(text)]
