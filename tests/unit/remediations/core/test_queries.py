"""Impossible PromQL is reported with its place; everything else is left to Prometheus."""

from __future__ import annotations

import pytest

from remediations.core.queries import find_unpaired


@pytest.mark.parametrize(
    ("promql", "told"),
    [
        ("max(up", "( in character 4 is never closed"),
        ("max(up))", ") in character 8 closes nothing"),
        ("rate(up[5m)", ") in character 11 closes nothing"),
        ('up{job="x}', '" in character 8 is never closed'),
        ("up # (\n)", ") in character 8 closes nothing"),
    ],
)
def test_what_does_not_pair_is_told_with_its_place(promql, told):
    assert find_unpaired(promql) == told


@pytest.mark.parametrize(
    "promql",
    [
        'sum by (job) (rate(up{job=~"a|(b"}[5m])) > bool 0',
        "up{job='a)\\'b'}",
        "up{job=`\\`} # the ( of a comment, it's\n + on () vector(1)",
        "#",
        "",
    ],
)
def test_brackets_in_strings_and_comments_count_for_nothing(promql):
    assert find_unpaired(promql) == ""
