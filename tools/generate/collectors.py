"""`python -m tools.generate.collectors`: writes the names of the exporter's collectors where policies are read.

A policy that names a collector which does not exist would be held for ever.
"""

from __future__ import annotations

import re
from pathlib import Path

from exporter.collectors import discover

FILE = Path(__file__).parents[2] / "remediations" / "core" / "queries.py"
PLACE = re.compile(r"(?<=^COLLECTORS = \(\n).*?(?=^\)$)", re.MULTILINE | re.DOTALL)


def put(module: str) -> str:
    """The module with the names of today's collectors."""
    return PLACE.sub("".join(f'    "{spec.name}",\n' for spec in discover()), module, count=1)


if __name__ == "__main__":
    FILE.write_text(put(FILE.read_text(encoding="utf-8")), encoding="utf-8")
