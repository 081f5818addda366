"""The list of what receivers get wrong has fifteen entries, and each has a test that runs the whole program."""

from __future__ import annotations

import re
from pathlib import Path

SYSTEM = Path(__file__).parents[1] / "system"
TEST = re.compile(r"^(?:async )?def test_pitfall_(\d\d)_", re.MULTILINE)


def test_every_pitfall_has_a_test():
    texts = [path.read_text(encoding="utf-8") for path in SYSTEM.glob("test_*.py")]
    assert {int(number) for text in texts for number in TEST.findall(text)} == set(range(1, 16))
