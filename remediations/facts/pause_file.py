"""The file that stops everything while it exists. Light: commands that only look import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from remediations.core.model.facts import Pause

NAME = "pause_file"


def is_of_file(pause: Pause) -> bool:
    """Whether the pause is a file that exists, `owner` its path: removing the file ends it, and nothing else does."""
    return pause.name == NAME and pause.since is None


def read_pauses(pause_file: Path | None, pauses: Sequence[Pause]) -> tuple[Pause, ...]:
    """The pauses of the journal and the one of the pause file; blocks on the disk.

    A file that cannot be looked at counts as there: whoever put it there wants nothing to happen.
    """
    known = tuple(pauses)
    if pause_file is None:
        return known
    try:
        with pause_file.open(encoding="utf-8", errors="replace") as file:
            reason = file.readline(200).strip()
    except FileNotFoundError:
        return known
    except OSError as error:
        reason = f"cannot look at the pause file: {error.strerror}"
    return (*known, Pause(NAME, str(pause_file), reason or "the pause file exists", None))
