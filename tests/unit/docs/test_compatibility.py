"""docs/compatibility.md: each version has a test that exists, or the words "not tried"."""

from __future__ import annotations

import re
from pathlib import Path

from tools.install.programs import (
    ALERTMANAGER_VERSION,
    HELM_VERSION,
    KUBERNETES_VERSION,
    OPA_VERSION,
    PROMETHEUS_VERSION,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.split("|")[1:-1])
    for line in PAGE.splitlines()
    if line.startswith("|") and "---" not in line
][1:]
TEST = re.compile(r"^`(?P<file>tests/\S+\.py)::(?P<name>test_\w+)`$")


def test_every_row_names_a_test_that_exists_or_says_that_it_was_not_tried():
    tried = {row[2]: TEST.match(row[2]) for row in ROWS}
    missing = [
        cell
        for cell, found in tried.items()
        if found and f"def {found['name']}(" not in (ROOT / found["file"]).read_text(encoding="utf-8")
    ]
    others = [cell for cell, found in tried.items() if not found and cell != "every test"]

    assert any(tried.values())
    assert missing == []
    assert [cell for cell in others if not cell.startswith(("not tried", "refused by "))] == []


def test_pinned_versions_are_the_tried_ones():
    pinned = {
        "Kubernetes, API server and controllers": KUBERNETES_VERSION,
        "Prometheus": PROMETHEUS_VERSION,
        "Alertmanager": ALERTMANAGER_VERSION,
        "Helm": HELM_VERSION,
        "Open Policy Agent": OPA_VERSION,
    }
    tried = {part: versions.split(", ") for part, versions, test in reversed(ROWS) if TEST.match(test)}

    assert [
        part
        for part, version in pinned.items()
        if ".".join(version.removeprefix("v").split(".")[:2]) not in tried[part]
    ] == []
