"""The cases of `rules/tests/situations.yaml` on promtool, one short run for each rule file.

The older generation plays a sample here: test_promtool.py plays every alert's cases on both. `make chaos` sets
CONTROLCORE_SITUATIONS=all and plays everything on both.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.install.build import locate
from tools.rules.catalogue import RULES
from tools.rules.situations import Case, cases_of, fresh, write_cases
from tools.slowness import scaled

FILES = sorted(RULES.glob("*.yml"))
SAMPLE = {"controlcore-exporter", "controlcore-slo"}
"""Rule files with the constructs that the generations might evaluate differently: absent(), ratios, recorded series."""
IS_WHOLE = os.environ.get("CONTROLCORE_SITUATIONS") == "all"
CASES = [
    pytest.param(path, generation, id=f"{path.stem}-{generation}")
    for path in FILES
    for generation in ("2.42", "3")
    if generation == "3" or IS_WHOLE or path.stem in SAMPLE
]


def _run(generation: str, cases: list[Case], folder: Path) -> None:
    promtool = locate("promtool") if generation == "3" else Path("/usr/bin/promtool")
    answer = subprocess.run(
        [promtool, "test", "rules", *write_cases(cases, folder)],
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stdout.count("SUCCESS") == len(cases)


@pytest.mark.timeout(70)
@pytest.mark.parametrize(("path", "generation"), CASES)
def test_alerts_say_what_the_table_says(path: Path, generation: str, tmp_path: Path) -> None:
    """P4: the subject is gone, the collector fails. P6: a short fault that is over begins to fire at no time after."""
    _run(generation, cases_of(path), tmp_path)


@pytest.mark.timeout(70)
@pytest.mark.parametrize("generation", ["2.42", "3"])
def test_nothing_fires_on_a_healthy_small_fresh_installation(generation: str, tmp_path: Path) -> None:
    """P8, P10: nine of nine connections, four dead rows of twelve, no backup yet, OPAL without a data source."""
    _run(generation, [fresh()], tmp_path)


def test_sample_is_there() -> None:
    assert {path.stem for path in FILES} >= SAMPLE
