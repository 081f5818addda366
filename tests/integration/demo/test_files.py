"""The configurations of the demo pass Prometheus' and Alertmanager's own checkers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from demo.files import PLAYED, Pace, alertmanager_configuration, demo_policies, prometheus_files
from demo.stage import RELEASE, Plan, chart_values
from remediations.core.model.alert import Mode
from remediations.core.policies.reader import parse_policies
from tools.chart import render
from tools.servers.versions import Generation

ROOT = Path(__file__).resolve().parents[3]
GENERATIONS = pytest.mark.parametrize("generation", list(Generation), ids=lambda each: each.value)


def run(generation: Generation, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([generation.locate(program), *arguments], capture_output=True, text=True, check=False)


@GENERATIONS
def test_prometheus_accepts_the_divided_rules_and_its_configuration(generation: Generation, tmp_path: Path) -> None:
    for name, text in prometheus_files(Pace(12.0), {"exporter": "127.0.0.1:9877"}, "127.0.0.1:9093").items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    checked = run(generation, "promtool", "check", "config", str(tmp_path / "prometheus.yml"))

    assert checked.returncode == 0, checked.stdout + checked.stderr


@GENERATIONS
def test_alertmanager_accepts_the_demo_route(generation: Generation, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("made-up")
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_configuration(Pace(12.0), "http://127.0.0.1:9878/api/v1/alerts", token))

    checked = run(generation, "amtool", "check-config", str(path))

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("mode", ["auto", "approve"])
def test_chart_accepts_the_values_of_the_demo(mode: str) -> None:
    objects = render(chart_values(Plan(mode=mode)), RELEASE, "controlcore")

    assert {"ServiceAccount", "Role", "RoleBinding"} <= {each["kind"] for each in objects}


def test_demo_policies_differ_from_the_shipped_ones_in_pace_mode_and_identity_only() -> None:
    shipped = parse_policies((ROOT / "remediations" / "shipped" / "policies.yaml").read_text(), "shipped")
    played = parse_policies(demo_policies(Pace(12.0), "http://127.0.0.1:7000"), "demo")

    assert [(policy.name, policy.mode) for policy in played.policies] == [(name, Mode.AUTO) for name in PLAYED]
    for ours in played.policies:
        theirs = shipped.named(ours.name)
        assert theirs is not None
        assert (ours.name, ours.action, ours.targets) == (theirs.name, theirs.action, theirs.targets)
        assert (ours.condition.promql, ours.verify.promql) == (theirs.condition.promql, theirs.verify.promql)
        assert ours.dependencies == theirs.dependencies
        assert [item.name for item in ours.witnesses] == [item.name for item in theirs.witnesses]
        assert [rung.action for rung in ours.ladder] == [rung.action for rung in theirs.ladder]
        assert ours.cooldown_seconds == theirs.cooldown_seconds / 12
