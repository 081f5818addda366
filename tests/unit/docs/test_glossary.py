"""docs/glossary.md: one sentence for each term, in order, and every mode and state of the code."""

from __future__ import annotations

import re

from remediations.core.model.alert import Mode
from remediations.core.model.remediation import State
from tests.fakes.markdown import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<term>[^|]+) \| (?P<meaning>[^|]+) \|$", re.MULTILINE)


def rows_of(title: str) -> dict[str, str]:
    """Meaning by term of one table."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return {row["term"]: row["meaning"] for row in ROW.finditer(section) if row["meaning"] != "meaning"}


def test_every_meaning_is_one_sentence() -> None:
    rows = [row for row in ROW.finditer(PAGE) if row["meaning"] != "meaning"]

    assert rows
    assert [row["term"] for row in rows if not re.fullmatch(r"[A-Z][^.]*\.", row["meaning"])] == []


def test_terms_are_in_order_and_each_is_there_once() -> None:
    terms = [row["term"] for row in ROW.finditer(PAGE.partition("## Modes")[0]) if row["meaning"] != "meaning"]

    assert terms == sorted(set(terms), key=str.lower)


def test_every_mode_and_state_of_the_code_has_a_row() -> None:
    assert list(rows_of("Modes of a policy")) == [f"`{mode}`" for mode in Mode]
    assert list(rows_of("States of a remediation")) == [f"`{state}`" for state in State]
