"""docs/pitfalls.md names fifteen faults, and each test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (\d+) \|.*\| (`.*`) \|$", re.MULTILINE)
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_pitfall_has_a_test():
    rows = ROW.findall((ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8"))
    known = {
        name
        for path in (ROOT / "tests" / "system").glob("test_*.py")
        for name in TEST.findall(path.read_text(encoding="utf-8"))
    }

    assert [int(number) for number, _ in rows] == list(range(1, 16))
    assert {name for _, names in rows for name in re.findall(r"`(\w+)`", names)} <= known
