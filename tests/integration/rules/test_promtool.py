"""The shipped rules on both generations of Prometheus that users have.

The older generation plays one firing case of each alert, and each case runs with the rules that it needs. `make chaos`
sets CONTROLCORE_SITUATIONS=all and plays every file on both as it is.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from remediations.core.policies.reader import parse_policies
from remediations.shipped import read_policies
from tools.install.build import locate
from tools.rules.situations import alerts, rules_for, seconds_of, write_case
from tools.rules.time_scale import divide_folder
from tools.slowness import scaled

RULES = Path(__file__).parents[3] / "rules"
DEBIAN = Path("/usr/bin/promtool")
CASES = sorted((RULES / "tests").glob("*.test.yaml"))
IS_WHOLE = os.environ.get("CONTROLCORE_SITUATIONS") == "all"


def _promtool(generation: str) -> Path:
    """The promtool of that generation; a missing one fails with the command that brings it."""
    if generation == "3":
        return locate("promtool")
    assert DEBIAN.exists(), "promtool 2.42 is missing: run `make packages`"
    return DEBIAN


def _run(promtool: Path, *arguments: str | Path) -> str:
    answer = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, timeout=scaled(240), check=False, cwd=RULES / "tests"
    )
    output = answer.stdout + answer.stderr
    assert answer.returncode == 0, output
    return output


@pytest.fixture(scope="module", params=["2.42", "3"])
def promtool(request: pytest.FixtureRequest) -> Path:
    """One promtool after the other, checked to be what it is called."""
    found = _promtool(request.param)
    assert f"version {request.param}." in _run(found, "--version").replace("2.42.0", "2.42.")
    return found


@pytest.mark.timeout(60)
def test_shipped_rules_are_valid(promtool: Path) -> None:
    output = _run(promtool, "check", "rules", *sorted(RULES.glob("*.yml")))
    assert len(list(RULES.glob("*.yml"))) == output.count("SUCCESS")


class Texts(yaml.SafeLoader):
    """Reads every value as a text: `0x60` is sixty-one zeros and no number."""

    yaml_implicit_resolvers: ClassVar = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}


def read_cases(path: Path) -> dict[str, Any]:
    """The file, with values that are texts."""
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=Texts)  # noqa: S506 - a SafeLoader
    return found


def first_firing(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shortest firing case of each alert."""
    found: dict[str, dict[str, Any]] = {}
    for case in sorted(cases, key=lambda case: max(seconds_of(look["eval_time"]) for look in case["alert_rule_test"])):
        alert, kind = case["name"].split()[:2]
        if kind == "fires":
            found.setdefault(alert, case)
    return list(found.values())


def step_of(case: dict[str, Any], document: dict[str, Any]) -> str:
    """How often the rules are evaluated: with the samples if these are fewer and every evaluation falls on one."""
    step = max(document["evaluation_interval"], case["interval"], key=seconds_of)
    is_seen = all(seconds_of(look["eval_time"]) % seconds_of(step) == 0 for look in case["alert_rule_test"])
    return step if is_seen else str(document["evaluation_interval"])


@pytest.mark.timeout(240 if IS_WHOLE else 60)
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.removesuffix(".test.yaml"))
def test_every_case_comes_out_as_written(path: Path, promtool: Path, tmp_path: Path) -> None:
    """One run for each file: together they take half a minute."""
    files = [path]
    document = read_cases(path)
    if not IS_WHOLE:
        cases = first_firing(document["tests"]) if promtool == DEBIAN else document["tests"]
        asked = [frozenset(look["alertname"] for look in case["alert_rule_test"]) for case in cases]
        if asked and all(names <= alerts().keys() for names in asked):
            files = [
                write_case(tmp_path / str(number), case, step_of(case, document), rules_for(names))
                for number, (case, names) in enumerate(zip(cases, asked, strict=True))
            ]
    assert _run(promtool, "test", "rules", *files).count("SUCCESS") == len(files)


def test_every_file_of_rule_tests_is_run() -> None:
    assert {*CASES, RULES / "tests/situations.yaml"} == set((RULES / "tests").iterdir())
    assert len(CASES) > 10


@pytest.mark.timeout(60)
def test_divided_rules_are_valid(promtool: Path, tmp_path: Path) -> None:
    files = divide_folder(RULES, tmp_path, 20)
    assert len(files) == _run(promtool, "check", "rules", *files).count("SUCCESS")


@pytest.mark.timeout(60)
def test_queries_of_the_shipped_policies_are_valid(promtool: Path, tmp_path: Path) -> None:
    policies = parse_policies(read_policies(), "policies.yaml")
    queries = [*policies.dependencies.values()]
    queries += [query for policy in policies.policies for query in (policy.condition, policy.verify)]
    rules = [{"record": f"q{index}", "expr": query.promql} for index, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    assert f"{len(queries)} rules found" in _run(promtool, "check", "rules", file)


UP, EXHAUSTED = "controlcore_postgres_up", "controlcore_postgres_exhausted"
CPU = 'controlcore_workload_cpu_usage_ratio{component="control-plane-api", basis="limit"}'
AT_MAX = 'controlcore_hpa_at_max{component="control-plane-api"}'
API = 'controlcore_component_up{component="api"%s}'


QUESTIONS: list[tuple[str, dict[str, float], float | None]] = [
    ("database", {UP: 1, EXHAUSTED: 0}, 1),
    ("database", {UP: 1, EXHAUSTED: 1}, 0),
    ("database", {UP: 0}, 0),
    ("database", {EXHAUSTED: 0}, None),
    ("restart-api condition", {API % "": 0}, 1),
    ("restart-api condition", {API % "": 1}, 0),
    ("restart-api condition", {API % ', instance="a"': 0, API % ', instance="b"': 1}, 0),
    ("restart-api condition", {}, None),
    ("restart-api verify", {API % ', instance="a"': 0, API % ', instance="b"': 1}, 0),
    ("restart-api verify", {API % "": 1}, 1),
    ("scale-api condition", {CPU: 0.9, AT_MAX: 1}, 1),
    ("scale-api condition", {CPU: 0.9, AT_MAX: 0}, 0),
    ("scale-api condition", {CPU: 0.7, AT_MAX: 1}, 0),
    ("scale-api condition", {CPU: 0.9}, None),
    ("scale-api condition", {AT_MAX: 1}, None),
    ("scale-api verify", {CPU: 0.7}, 1),
    ("scale-api verify", {CPU: 0.9}, 0),
]
"""A query of the shipped policies, the exporter's samples, and the answer; None means no sample."""


@pytest.mark.timeout(60)
def test_policies_answer_true_false_or_nothing(promtool: Path, tmp_path: Path) -> None:
    """0 is false, any other number true, no sample unknown: a missing fact must never come out as a number."""
    policies = parse_policies(read_policies(), "policies.yaml")
    found = {policy.name: policy for policy in policies.policies}
    cases = []
    for question, series, expected in QUESTIONS:
        name, _, part = question.partition(" ")
        query = getattr(found[name], part) if part else policies.dependencies[name]
        samples = [] if expected is None else [{"labels": "{}", "value": expected}]
        cases.append(
            {
                "name": f"{question} of {series}",
                "interval": "15s",
                "input_series": [{"series": name, "values": f"{value}x4"} for name, value in series.items()],
                "promql_expr_test": [{"expr": query.promql, "eval_time": "1m", "exp_samples": samples}],
            }
        )
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "15s", "tests": cases}), "utf-8")
    _run(promtool, "test", "rules", file)
