"""The list of decisions names every page by its title."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[3] / "docs" / "decisions"


def test_list_of_decisions_is_complete() -> None:
    pages = sorted(FOLDER.glob("0*.md"))
    titles = {page.name: page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for page in pages}
    listed = [line for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("- ")]

    assert listed == [f"- [{title}]({name})" for name, title in titles.items()]
