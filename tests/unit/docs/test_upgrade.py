"""docs/upgrade.md follows CHANGELOG and the journal's schema."""

from __future__ import annotations

import re
from pathlib import Path

from remediations.journal.sqlite.migrations import MIGRATIONS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
QUOTED = re.findall(r'^\| "(.+?)" \|', PAGE, re.MULTILINE)


def test_every_quoted_entry_is_in_the_changelog():
    plain = CHANGELOG.replace("**", "")

    assert QUOTED
    assert [words for words in QUOTED if words not in plain] == []


def test_every_emphasised_entry_has_an_action():
    emphasised = [line for line in CHANGELOG.splitlines() if "**" in line]

    assert emphasised
    assert [line for line in emphasised if not any(words in line.replace("**", "") for words in QUOTED)] == []


def test_schema_of_the_journal_is_that_of_the_program():
    assert f"its schema is {len(MIGRATIONS)}." in PAGE
