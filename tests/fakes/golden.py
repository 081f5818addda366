"""Pages that a person reviewed. `make golden` writes them again; the difference then shows in the commit."""

from __future__ import annotations

import os
from pathlib import Path

WRITE_VARIABLE = "CONTROLCORE_WRITE_GOLDEN"


class Golden(str):
    """A reviewed text. With CONTROLCORE_WRITE_GOLDEN set it becomes whatever it is compared with."""

    __slots__ = ("path",)
    path: Path

    def __eq__(self, other: object) -> bool:
        if os.environ.get(WRITE_VARIABLE) and isinstance(other, str):
            self.path.write_text(other, encoding="utf-8")
            return True
        return super().__eq__(other)

    __hash__ = str.__hash__


def read_golden(path: Path) -> Golden:
    """The text of a file; empty when there is none yet."""
    text = Golden(path.read_text(encoding="utf-8") if path.exists() else "")
    text.path = path
    return text
