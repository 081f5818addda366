"""docs/comparison.md: every fact about another project names a source, and every source is used."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[3] / "docs" / "comparison.md").read_text(encoding="utf-8")
FACTS, _, SOURCES = PAGE.partition("## Sources\n")
USED = {int(number) for number in re.findall(r"\[\[(\d+)\]\]\(#sources\)", FACTS)}


def test_sources_are_numbered_from_one_and_each_has_an_address():
    listed = re.findall(r"^(\d+)\. .*\]\(https://", SOURCES, re.MULTILINE)

    assert [int(number) for number in listed] == list(range(1, len(SOURCES.splitlines())))


def test_every_source_is_used_and_every_used_source_is_listed():
    assert set(range(1, len(SOURCES.splitlines()))) == USED
