from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.fakes.golden import read_generated
from tools.generate.chart_values import PAGE, VALUES, page, rows


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Every value that is not a block of further ones; a value in braces is one value."""
    for key, inner in value.items():
        yield f"{path}{key}"
        if isinstance(inner, dict):
            yield from leaves(inner, f"{path}{key}.")


def test_page_is_what_the_values_say() -> None:
    assert read_generated(PAGE) == page()


def test_every_value_of_the_chart_has_a_row() -> None:
    text = VALUES.read_text(encoding="utf-8")
    found = {path: default for path, default, _ in rows(text)}
    document = yaml.safe_load(text)
    inline = {path for path, default in found.items() if default.startswith("{")}
    wanted = {path for path in leaves(document) if not any(path.startswith(f"{other}.") for other in inline)}
    # A group without a comment says nothing, so it has no row.
    assert {path for path in wanted - found.keys() if not any(other.startswith(f"{path}.") for other in found)} == set()
    assert found.keys() <= wanted


def test_default_of_a_row_is_the_default_of_the_chart() -> None:
    for path, default, _ in rows(VALUES.read_text(encoding="utf-8")):
        value: Any = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
        for key in path.split("."):
            value = value[key]
        assert not default or yaml.safe_load(default) == value, path


def test_comment_is_one_line_and_its_items_begin_lines() -> None:
    text = (
        "# First,\n# second:\n#   item: a|b\nkey: 5  # beside\ngroup:\n  # Inner.\n  inner: {}\n\n# Lost.\n\nlast: 1\n"
    )
    assert list(rows(text)) == [
        ("key", "5  # beside", "First, second:<br>item: a|b"),
        ("group.inner", "{}", "Inner."),
        ("last", "1", ""),
    ]
