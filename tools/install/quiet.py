"""Runs a foreign command whose output matters only when it fails."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CommandError(RuntimeError):
    """A command failed; the message is the command, its status and all that it printed."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Runs the command and shows nothing; CommandError when it fails."""
    answer = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if answer.returncode != 0:
        raise CommandError(f"{' '.join(command)} failed with status {answer.returncode}\n{answer.stdout.strip()}")
