"""docs/signals.md says what is published and what proves it; here the page itself is proved."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

from exporter import self_metrics
from exporter.collectors import discover
from remediations.metrics import Telemetry

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "signals.md"
SIGNALS = 29
REAL = ("tests/integration/", "tests/system/")
"""Where tests run on real parts."""
QUOTED = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    number: int
    metrics: tuple[str, ...]
    tests: tuple[str, ...]


def rows_of(page: str) -> tuple[Row, ...]:
    """The rows of the page's table."""
    found = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[0].isdigit():
            found.append(Row(int(cells[0]), tuple(QUOTED.findall(cells[2])), tuple(QUOTED.findall(cells[3]))))
    return tuple(found)


@functools.cache
def published() -> frozenset[str]:
    """The names of every metric of both programs."""
    ours = {metric.name for spec in discover() for metric in spec.metrics} | {
        metric.name for metric in self_metrics.METRICS
    }
    families = Telemetry().registry.collect()
    return frozenset(ours | {f"{each.name}_total" if each.type == "counter" else each.name for each in families})


@functools.cache
def functions_of(path: str) -> frozenset[str]:
    """The functions of a test file; none if it does not exist."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(file.read_text()).body if isinstance(node, kinds))


def faults_of(rows: tuple[Row, ...]) -> list[str]:
    """One sentence for everything that the page says and that is not so."""
    missing = set(range(1, SIGNALS + 1)) - {row.number for row in rows}
    faults = [f"row {number} is missing" for number in sorted(missing)]
    for row in rows:
        faults += [
            f"{row.number}: {name} is published by neither program" for name in row.metrics if name not in published()
        ]
        faults += [f"{row.number}: no metric"] * (not row.metrics) + [f"{row.number}: no test"] * (not row.tests)
        for test in row.tests:
            path, _, function = test.partition("::")
            if function not in functions_of(path) or not function.startswith("test_"):
                faults.append(f"{row.number}: there is no {test}")
            if not path.startswith(REAL):
                faults.append(f"{row.number}: {test} runs on no real part")
    return faults


def test_every_signal_has_metrics_and_a_test_on_real_parts():
    assert faults_of(rows_of(PAGE.read_text(encoding="utf-8"))) == []


def test_whatever_the_page_gets_wrong_is_found():
    page = PAGE.read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| 7 |"))
    test = "tests/integration/exporter/collectors/test_bouncers.py::test_resource_with_one_side_only_is_unpaired"
    for old, new, fault in (
        (row, "", "row 7 is missing"),
        ("controlcore_resources_unpaired", "controlcore_x", "7: controlcore_x is published by neither program"),
        (test, f"{test}s", f"7: there is no {test}s"),
        (
            test,
            test.replace("bouncers.py", "nowhere.py"),
            f"7: there is no {test.replace('bouncers.py', 'nowhere.py')}",
        ),
        (f"`{test}`", "", "7: no test"),
    ):
        assert old in page
        assert faults_of(rows_of(page.replace(old, new))) == [fault]
    unit = "tests/unit/docs/test_signals.py::test_whatever_the_page_gets_wrong_is_found"
    assert faults_of(rows_of(page.replace(test, unit))) == [f"7: {unit} runs on no real part"]
