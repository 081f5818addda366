"""The shipped inhibitions silence nothing that the remediator repairs, and no page by a ticket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.collectors import discover
from remediations.core.policies.matchers import matches_all, parse_matchers
from tools.rules.situations import rules_by_file

DOCS = Path(__file__).parents[3] / "docs"
INHIBITIONS: list[dict[str, Any]] = yaml.safe_load((DOCS / "examples" / "alertmanager.yml").read_text("utf-8"))[
    "inhibit_rules"
]
LABELS = {
    rule["alert"]: {"alertname": rule["alert"], **rule["labels"]}
    for rules in rules_by_file().values()
    for rule in rules
    if "alert" in rule
}
RANK = {"critical": 3, "warning": 2, "info": 1, "none": 0}


def matched(matchers: list[str]) -> list[dict[str, str]]:
    """The alerts of the shipped rules that these matchers match; labels of an expression are ignored."""
    parsed = [each for text in matchers if not text.startswith("collector") for each in parse_matchers(text)]
    return [labels for labels in LABELS.values() if matches_all(parsed, labels)]


def named(matchers: list[str]) -> set[str]:
    """The alerts that the matchers name."""
    return {name for text in matchers for name in re.findall(r"ControlCore\w+", text)}


@pytest.mark.parametrize(
    "rule", INHIBITIONS, ids=lambda rule: f"{rule['source_matchers'][0]} {rule['target_matchers'][-1]}"
)
def test_targets_name_no_policy_and_are_no_worse_than_their_source(rule: dict[str, Any]) -> None:
    assert 'remediation="none"' in rule["target_matchers"]
    assert "cluster" in rule["equal"]
    sources, targets = matched(rule["source_matchers"]), matched(rule["target_matchers"])
    assert {each["alertname"] for each in sources} == named(rule["source_matchers"])
    assert {each["alertname"] for each in targets} == named(rule["target_matchers"])
    assert max(RANK[each["severity"]] for each in targets) <= min(RANK[each["severity"]] for each in sources)


def test_collectors_that_read_the_database_are_named_as_its_consequence() -> None:
    (text,) = [text for rule in INHIBITIONS for text in rule["target_matchers"] if "postgres_canary" in text]
    assert set(text.partition('"')[2].rstrip('"').split("|")) == {spec.name for spec in discover() if spec.grants}


def test_inhibitions_on_the_page_are_those_of_the_example() -> None:
    page = (DOCS / "alertmanager.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(inhibit_rules:.*?)```", page, re.DOTALL)
    assert all(rule in INHIBITIONS for rule in yaml.safe_load(block)["inhibit_rules"])
