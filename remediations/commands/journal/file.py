"""How a command works on the journal file while another process serves it."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from remediations.commands.output import exit_codes as exits
from remediations.commands.output.text import write_error
from remediations.core.model.acts import MAX_NAME, Actor, ActSource
from remediations.journal.port import Journal
from remediations.journal.sqlite.adapter import open_journal
from remediations.settings import RemediatorSettings


def with_journal(
    options: argparse.Namespace, settings: RemediatorSettings, work: Callable[[Journal], Awaitable[int]]
) -> int:
    """Runs the work on the journal that `serve` uses (it may be running); returns the exit status."""
    path = settings.journal.path
    if not path.exists():
        file: Path | None = getattr(options, "config_file", None)
        read = "no settings file was read: give --config.file PATH" if file is None else f"settings of {file}"
        write_error(f"there is no journal at {path} (journal.path; {read}); `serve` creates it at its first start")
        return exits.FAILED

    async def open_and_work() -> int:
        # Not checked for damage: `serve` has done so, and a large journal takes seconds to read.
        seconds = settings.journal.timeout_seconds
        async with open_journal(path, timeout_seconds=seconds, is_checked=False) as journal:
            return await work(journal)

    return asyncio.run(open_and_work())


def actor_here(claimed: str | None) -> Actor:
    """The user of this command: a claimed name, because the environment can contain anything."""
    return Actor(ActSource.COMMAND_LINE, claimed=claimed or _user_name())


def _user_name() -> str:
    """The user's name, if it is known."""
    try:
        return getpass.getuser()[:MAX_NAME]
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
