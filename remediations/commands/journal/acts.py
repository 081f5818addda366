"""The commands that reset a breaker and list people's acts."""

from __future__ import annotations

import argparse

from chassis.clock import SystemClock
from remediations.commands.journal.file import actor_here, with_journal
from remediations.commands.output.text import render_acts, write_output
from remediations.core.codec import to_data
from remediations.journal.breakers import reset_breaker
from remediations.journal.port import Journal
from remediations.journal.records import acts_content
from remediations.settings import RemediatorSettings


def reset(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Resets a breaker."""

    async def work(journal: Journal) -> int:
        actor, now = actor_here(options.by), SystemClock().now()
        reset = await reset_breaker(journal, options.action, options.target, actor, now)
        return write_output(options, to_data(reset), f"breaker reset: {reset.action} on {reset.target}\n")

    return with_journal(options, settings, work)


def list_acts(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Prints people's acts."""

    async def work(journal: Journal) -> int:
        found = await journal.acts(options.limit)
        return write_output(options, acts_content(found), render_acts(found))

    return with_journal(options, settings, work)
