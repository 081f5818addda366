"""The panels' expressions: read by the promtools of both generations, and evaluated over two clusters."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.commands.doctor.shipped import fill_variables
from tools.install.build import locate
from tools.slowness import scaled

DASHBOARDS = Path(__file__).parents[3] / "dashboards"
SERIES = {
    # One of two exporters in cluster a is cut off; in cluster b the API and the database are down.
    'controlcore_component_up{cluster="a", instance="1", component="api"}': "1x20",
    'controlcore_component_up{cluster="a", instance="2", component="api"}': "0x20",
    'controlcore_component_up{cluster="b", instance="3", component="api"}': "0x20",
    'controlcore_postgres_up{cluster="a", instance="1"}': "1x20",
    'controlcore_postgres_up{cluster="b", instance="3"}': "0x20",
    # A large server with room, and a small one that is nearly full.
    'controlcore_postgres_connections{cluster="a", instance="1", state="active"}': "30x20",
    'controlcore_postgres_connections_limit{cluster="a", instance="1"}': "1000x20",
    'controlcore_postgres_connections{cluster="b", instance="3", state="active"}': "5x20",
    'controlcore_postgres_connections{cluster="b", instance="3", state="idle"}': "4x20",
    'controlcore_postgres_connections_limit{cluster="b", instance="3"}': "10x20",
    'controlcore_backup_last_success_timestamp_seconds{cluster="a", instance="1", kind="daily"}': "590x20",
    'controlcore_backup_last_success_timestamp_seconds{cluster="b", instance="3", kind="daily"}': "0x20",
    'controlcore_remediation_actions_total{remediation="r", action="x", outcome="written"}': "0x9 1x10",
    'controlcore_remediation_actions_total{remediation="r", action="x", outcome="succeeded"}': "0x12 1x7",
    "controlcore_remediation_journal_writable": "1x20",
    'controlcore_up{cluster="a", instance="1"}': "1x20",
    'controlcore_up{cluster="b", instance="3"}': "1x9 0x10",
}
"""Scraped once a minute."""


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DASHBOARDS / f"controlcore-{name}.json").read_text(encoding="utf-8"))
    return loaded


def _find(name: str, title: str, legend: str) -> str:
    """The expression as Grafana sends it; the line is searched in the panel with that title."""
    (expr,) = [
        target["expr"]
        for panel in _load(name)["panels"]
        for target in panel.get("targets", ())
        if (panel["title"], target["legendFormat"]) == (title, legend)
    ]
    return fill_variables(expr, rate_interval="4m", time_range="3h")


def _is_evaluated(expr: str, minute: int, samples: dict[str, float], folder: Path) -> None:
    """Asserts what the expression has at that minute."""
    expected = [{"labels": labels, "value": value} for labels, value in samples.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in SERIES.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": f"{minute}m", "exp_samples": expected}],
    }
    file = folder / "cases.yml"
    file.write_text(yaml.safe_dump({"tests": [test]}), encoding="utf-8")
    answer = subprocess.run(
        [locate("promtool"), "test", "rules", file], capture_output=True, text=True, timeout=scaled(30), check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "title", "legend", "samples"),
    [
        ("overview", "Components", "{{component}}", {'{component="api"}': 0.0}),
        ("health", "Components", "{{component}}", {'{component="api"}': 0.0}),
        ("stores", "Servers", "PostgreSQL", {"{}": 0.0}),
        ("stores", "Connection utilisation", "used", {"{}": 0.9}),
        ("stores", "Age of the last good backup", "{{kind}}", {'{kind="daily"}': 600.0}),
    ],
)
def test_a_cluster_that_is_down_or_full_is_not_hidden_by_another(
    name: str, title: str, legend: str, samples: dict[str, float], tmp_path: Path
) -> None:
    _is_evaluated(_find(name, title, legend), 10, samples, tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("minute", "legend", "samples"),
    [
        (9, "Control Core", {"{}": 1.0}),
        (9, "{{cluster}} {{instance}}", {}),
        (10, "Control Core", {}),
        (10, "{{cluster}} {{instance}}", {'{cluster="b", instance="3"}': 0.0}),
    ],
)
def test_the_exporter_that_sees_a_component_down_is_named(
    minute: int, legend: str, samples: dict[str, float], tmp_path: Path
) -> None:
    _is_evaluated(_find("overview", "Control Core", legend), minute, samples, tmp_path)


@pytest.mark.timeout(60)
def test_a_replica_that_is_cut_off_does_not_make_its_cluster_look_down(tmp_path: Path) -> None:
    chosen = _find("overview", "Components", "{{component}}").replace('cluster=~".*"', 'cluster="a"')
    _is_evaluated(chosen, 10, {'{component="api"}': 1.0}, tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("minute", "outcomes"), [(9, []), (10, ["written"]), (11, []), (13, ["succeeded"]), (14, [])])
def test_an_action_is_marked_once_where_prometheus_scrapes_once_a_minute(
    minute: int, outcomes: list[str], tmp_path: Path
) -> None:
    (mark,) = [item for item in _load("overview")["annotations"]["list"] if item["name"] == "Remediations"]
    expr = fill_variables(mark["expr"], rate_interval="4m", time_range="3h")
    samples = {f'{{action="x", outcome="{outcome}", remediation="r"}}': 1.0 for outcome in outcomes}
    _is_evaluated(expr, minute, samples, tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("minute", "writes"), [(9, 0.0), (10, 1.0), (12, 1.0), (13, 0.0), (15, 0.0)])
def test_the_line_over_the_actions_counts_a_write_once_and_not_its_verdict_too(
    minute: int, writes: float, tmp_path: Path
) -> None:
    """The interval is three minutes: of points so far apart, wherever they begin, exactly one counts the write."""
    _is_evaluated(f"round({_find('operations', 'Actions', 'writes')})", minute, {"{}": writes}, tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("generation", ["2.42", "3"])
@pytest.mark.parametrize("path", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_expression_is_valid(path: Path, generation: str, tmp_path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    queries += [mark["expr"] for mark in dashboard["annotations"]["list"]]
    queries = [fill_variables(query, rate_interval="1m", time_range="3h") for query in queries]
    rules = [{"record": f"q{index}", "expr": query} for index, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    promtool = locate("promtool") if generation == "3" else Path("/usr/bin/promtool")
    answer = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, timeout=scaled(30), check=False
    )
    assert f"{len(queries)} rules found" in answer.stdout, answer.stdout + answer.stderr
