"""docs/threat-model.md: every row names tests, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| threat |")]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FLOWS = (
    "Scrape to exporter",
    "Exporter to API, PostgreSQL, Redis, OPA and OPAL",
    "Alertmanager to the remediator's webhook",
    "Remediator to the API server",
    "Remediator to Prometheus and Alertmanager",
    "Remediator to PostgreSQL",
    "Remediator to its journal",
    "Person to the HTTP API and the command line",
    "Files of configuration and credentials",
    "Supply chain",
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40].strip())
def test_every_threat_has_a_test_that_exists(row: str) -> None:
    named = NAMED.findall(row.rsplit(" | ", 1)[1])
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file()
        or not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert named
    assert missing == []


def test_every_flow_has_threats() -> None:
    sections = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
    assert [name for name in FLOWS if "\n| " not in sections.get(name, "")] == []
    assert set(sections) == {*FLOWS, "Not held"}
