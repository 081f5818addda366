"""The README names exactly the rights that the chart gives."""

from __future__ import annotations

from pathlib import Path

from tools.generate.rbac_table import rights_table

README = Path(__file__).resolve().parents[3] / "README.md"


def test_readme_shows_the_rights_of_the_chart() -> None:
    assert rights_table() in README.read_text(encoding="utf-8")
