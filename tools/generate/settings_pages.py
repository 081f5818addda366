"""`python -m tools.generate.settings_pages`: writes the reference of the settings into the page of each program."""

from __future__ import annotations

from pathlib import Path

from chassis.output.settings_reference import write
from exporter.__main__ import settings_reference
from exporter.collectors import discover
from remediations.settings import RemediatorSettings

DOCS = Path(__file__).parents[2] / "docs"
BEGIN = "<!-- settings: written by `make generate` from the code that reads them -->\n"
END = "<!-- end of the settings -->\n"


def references() -> dict[Path, str]:
    """The reference of each program, by its page."""
    return {
        DOCS / "exporter.md": settings_reference(discover()),
        DOCS / "remediator.md": write(RemediatorSettings),
    }


def put(page: str, reference: str) -> str:
    """The page with this reference between the two marks; ValueError when a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for the settings")
    return f"{before}{BEGIN}\n{reference.strip()}\n\n{END}{after}"


if __name__ == "__main__":
    for path, reference in references().items():
        path.write_text(put(path.read_text(encoding="utf-8"), reference), encoding="utf-8")
