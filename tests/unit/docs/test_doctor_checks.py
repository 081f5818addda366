"""The pages of both programs name every check of their doctor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
PROGRAMS = {"exporter": "exporter", "remediator": "remediations"}
CHECK = re.compile(r'\bCheck\("([a-z_.]+)"')


@pytest.mark.parametrize(("page", "package"), PROGRAMS.items())
def test_page_names_every_check(page: str, package: str) -> None:
    sources = (DOCS.parent / package / "commands" / "doctor").glob("*.py")
    checks = {name for source in sources for name in CHECK.findall(source.read_text())}
    assert len(checks) > 10
    text = (DOCS / f"{page}.md").read_text()
    assert sorted(name for name in checks if f"`{name}`" not in text) == []
