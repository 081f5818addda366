"""The annotations of every alert as Prometheus renders them while its fault lasts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tools.install.build import locate
from tools.rules.catalogue import RULES
from tools.rules.situations import alerts, rules_by_file, standing, write_cases
from tools.slowness import scaled

FILES = sorted(RULES.glob("*.yml"))
TEMPLATES = {
    rule["alert"]: rule["annotations"] for rules in rules_by_file().values() for rule in rules if "alert" in rule
}
PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')
BROKEN = re.compile(r"<no value>|<error|NaN|Inf\b|%!|\{\{|  | [.,:;)]|\(\)|^\s|\s$")
"""The text that a template without its label or value leaves."""
NAMED = re.compile(r"\$labels\.(\w+)")
CONDITION = re.compile(r"\{\{ *(?:if|with)[^}]*\}\}")

Rendered = dict[str, list[tuple[dict[str, str], dict[str, str]]]]


def pairs(line: str) -> dict[str, str]:
    """Names and values as promtool prints them."""
    return {name: json.loads(value) for name, value in PAIR.findall(line)}


def render(path: Path, promtool: Path, folder: Path) -> Rendered:
    """Labels and annotations of each alert of the file, from promtool's output of unexpected alerts."""
    files = write_cases([standing(rule) for rule in alerts().values() if rule.file == path], folder)
    answer = subprocess.run(
        [promtool, "test", "rules", *files], capture_output=True, text=True, timeout=scaled(60), check=False
    )
    found: Rendered = {}
    labels: dict[str, str] = {}
    for line in (answer.stdout + answer.stderr).splitlines():
        if line.strip().startswith("Labels:{"):
            labels = pairs(line)
        elif line.strip().startswith("Annotations:{"):
            found.setdefault(labels["alertname"], []).append((labels, pairs(line)))
    return found


@pytest.mark.timeout(70)
@pytest.mark.parametrize("generation", ["2.42", "3"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_annotation_has_its_value_and_its_object(path: Path, generation: str, tmp_path: Path) -> None:
    promtool = locate("promtool") if generation == "3" else Path("/usr/bin/promtool")
    rendered = render(path, promtool, tmp_path)
    assert rendered.keys() == {name for name, rule in alerts().items() if rule.file == path}
    for name, found in rendered.items():
        for labels, texts in found:
            assert texts.keys() == TEMPLATES[name].keys()
            for key, text in texts.items():
                assert not BROKEN.search(text), f"{name}.{key}: {text}"
                named = set(NAMED.findall(CONDITION.sub("", TEMPLATES[name][key])))
                assert {label for label in named if not labels.get(label)} == set(), f"{name}.{key}"
