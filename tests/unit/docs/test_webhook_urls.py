"""L11: no printed example sends a token over a network in clear text."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
WEBHOOK = re.compile(r"(https?)://(?!127\.0\.0\.1:)[\w.-]+:9878/api/v1/alerts")
"""Loopback is left out: it never leaves the machine."""


def test_every_printed_webhook_is_https():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "examples").iterdir()]
    schemes = {(path.name, found[1]) for path in pages for found in WEBHOOK.finditer(path.read_text(encoding="utf-8"))}
    assert {name for name, _ in schemes} >= {"README.md", "alertmanager.md", "alertmanager.yml"}
    assert {scheme for _, scheme in schemes} == {"https"}
