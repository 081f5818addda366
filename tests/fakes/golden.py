"""Texts of committed files. A failed comparison says how to write the file again (tests/conftest.py asks `explain`).

Golden pages are reviewed by a person: the difference shows in the commit. `make generate` writes generated files.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TypeVar

WRITE_VARIABLE = "CONTROLCORE_WRITE_GOLDEN"
ROOT = Path(__file__).parents[2]


class Committed(str):
    """The text of a committed file."""

    __slots__ = ("path",)
    path: Path

    def remedy(self, _test: str) -> str:
        """The command that writes the file."""
        raise NotImplementedError


class Golden(Committed):
    """A reviewed text. With CONTROLCORE_WRITE_GOLDEN set it becomes whatever it is compared with."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if os.environ.get(WRITE_VARIABLE) and isinstance(other, str):
            self.path.write_text(other, encoding="utf-8")
            return True
        return super().__eq__(other)

    __hash__ = str.__hash__

    def remedy(self, test: str) -> str:
        """Runs the one test; `make golden` runs all of them and needs the servers."""
        return f"{WRITE_VARIABLE}=1 .venv/bin/python -m pytest -q '{test}'   # then review the difference"


class Generated(Committed):
    """A text that the code writes."""

    __slots__ = ()

    def remedy(self, _test: str) -> str:
        """Runs every generator."""
        return "make generate"


T = TypeVar("T", bound=Committed)


def read_golden(path: Path) -> Golden:
    """The text of a reviewed file; empty when there is none yet."""
    return _read(path, Golden)


def read_generated(path: Path) -> Generated:
    """The text of a generated file; empty when there is none yet."""
    return _read(path, Generated)


def _read(path: Path, kind: type[T]) -> T:
    text = kind(path.read_text(encoding="utf-8") if path.exists() else "")
    text.path = path
    return text


def explain(left: object, right: object, test: str) -> list[str] | None:
    """Why a comparison with a committed file failed, and what to do; None for other comparisons."""
    committed = next((side for side in (left, right) if isinstance(side, Committed)), None)
    made = right if committed is left else left
    if committed is None or not isinstance(made, str):
        return None
    path = committed.path
    name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    difference = difflib.unified_diff(committed.splitlines(), made.splitlines(), "committed", "now", lineterm="", n=1)
    return [f"{name} is out of date; write it with:", f"    {committed.remedy(test)}", *difference]
