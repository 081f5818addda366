"""L11: a token never travels in clear text by a printed example."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
WEBHOOK = re.compile(r"(https?)://[\w.-]+:9878/api/v1/alerts")


def test_every_printed_webhook_is_https():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "examples").iterdir()]
    schemes = {(path.name, found[1]) for path in pages for found in WEBHOOK.finditer(path.read_text(encoding="utf-8"))}
    assert {name for name, _ in schemes} >= {"README.md", "alertmanager.md", "alertmanager.yml"}
    assert {scheme for _, scheme in schemes} == {"https"}
