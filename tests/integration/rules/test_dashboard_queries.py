"""The panels' expressions, read by the promtools of both generations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.commands.doctor.shipped import fill_variables
from tools.install.build import locate
from tools.slowness import scaled

DASHBOARDS = Path(__file__).parents[3] / "dashboards"


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
