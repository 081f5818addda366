"""The printed Prometheus configuration on the real promtool, the values for kube-prometheus-stack on the real Helm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.chart import FIRST_INSTALLATION, render
from tools.servers.versions import Generation
from tools.slowness import scaled

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "docs" / "examples" / "prometheus.yml").read_text(encoding="utf-8")
RULES = ROOT / "rules"
CHOICE = re.compile(r"^    # (?=(basic_auth|scheme|tls_config):)", re.MULTILINE)
"""A line of the example that is switched on by taking the mark away."""
SET = re.compile(r"--set ((?:serviceMonitor|rules)\.\S+)=(\S+)")

pytestmark = pytest.mark.timeout(60)


def check(folder: Path, text: str, generation: Generation) -> str:
    """Output of promtool for the configuration with the shipped rules."""
    shutil.copytree(RULES, folder / "rules")
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    for name in ("remediator-password", "controlcore-ca.crt"):
        (folder / name).touch()
    ended = subprocess.run(
        [generation.locate("promtool"), "check", "config", "prometheus.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=scaled(30),
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("generation", list(Generation), ids=lambda each: each.value)
def test_example_is_valid_and_reads_every_shipped_rule_file(generation: Generation, tmp_path: Path) -> None:
    output = check(tmp_path, EXAMPLE, generation)

    assert f"{len(list(RULES.glob('*.yml')))} rule files found" in output


def test_lines_for_a_remediator_with_users_and_tls_are_valid(tmp_path: Path) -> None:
    text, changes = CHOICE.subn("    ", EXAMPLE)

    check(tmp_path, text, Generation.PINNED)

    assert changes == 3
    assert yaml.safe_load(text)["scrape_configs"][1].keys() >= {"basic_auth", "scheme", "tls_config"}


def test_readme_prints_the_jobs_of_the_example() -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]

    assert {"scrape_configs": yaml.safe_load(EXAMPLE)["scrape_configs"]} in blocks


def test_objects_of_the_chart_have_the_label_that_the_stack_selects_by() -> None:
    values: dict[str, Any] = {**FIRST_INSTALLATION}
    for path, value in SET.findall(README):
        *parents, key = path.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[key] = yaml.safe_load(value)

    rendered = render(values, "controlcore", "controlcore")
    objects = [each for each in rendered if each["apiVersion"] == "monitoring.coreos.com/v1"]

    assert {each["kind"] for each in objects} == {"ServiceMonitor", "PrometheusRule"}
    assert {each["metadata"]["labels"].get("release") for each in objects} == {"kube-prometheus-stack"}
