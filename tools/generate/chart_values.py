"""`python -m tools.generate.chart_values`: writes docs/chart-values.md from the comments of the chart's values.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
VALUES = ROOT / "helm" / "controlcore-exporter" / "values.yaml"
PAGE = ROOT / "docs" / "chart-values.md"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w-]+):(?P<value>.*)$")
HEAD = """# The chart's values

Generated from [values.yaml](../helm/controlcore-exporter/values.yaml) by `make generate`. The schema refuses \
every other value. `{}` and `[]` are empty; a value without a default is a group, and its lines follow.

| value | default | meaning |
|---|---|---|
"""


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and comment of each value; the default of a group is empty."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip().removeprefix("#").removeprefix(" "))
            continue
        found = KEY.match(line)
        if found is not None:
            indent = len(found["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            path = ".".join([*(key for _, key in parents), found["key"]])
            parents.append((indent, found["key"]))
            if comment or found["value"].strip():
                yield path, found["value"].strip(), _joined(comment)
        comment = []


def _joined(comment: list[str]) -> str:
    """The lines of a comment as one; an indented one, which is an example or an item of a list, begins a line."""
    return "".join(f"<br>{line.strip()}" if line.startswith("  ") else f" {line}" for line in comment).strip()


def page() -> str:
    """The page as it must be."""
    found = rows(VALUES.read_text(encoding="utf-8"))
    return HEAD + "".join(
        f"| `{path}` | {_cell(f'`{default}`') if default else ''} | {_cell(meaning)} |\n"
        for path, default, meaning in found
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
