"""The file that stops everything while it exists. Light, because read-only commands import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from remediations.core.model.facts import Pause

NAME = "pause_file"


def is_of_file(pause: Pause) -> bool:
    """Whether the pause is an existing file, `owner` its path: only removing the file ends it."""
    return pause.name == NAME and pause.since is None


def read_pauses(pause_file: Path | None, pauses: Sequence[Pause]) -> tuple[Pause, ...]:
    """The pauses of the journal and the pause file; blocks on the disk.

    If it is unknown whether the file exists, it counts as existing, which is the safe choice.
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
        reason = f"cannot check the pause file: {error.strerror}"
    return (*known, Pause(NAME, str(pause_file), reason or "the pause file exists", None))
