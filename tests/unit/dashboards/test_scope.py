"""Selectors are narrowed to the choices, and nothing else of an expression changes."""

from __future__ import annotations

import pytest

from dashboards.src.scope import scope

CHOSEN = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job"'


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("max(controlcore_up)", f"max(controlcore_up{{{CHOSEN}}})"),
        ("controlcore_up{}", f"controlcore_up{{{CHOSEN}}}"),
        (
            "sum by (reason) (rate(controlcore_exporter_scrapes_refused_total[$__rate_interval]))",
            f"sum by (reason) (rate(controlcore_exporter_scrapes_refused_total{{{CHOSEN}}}[$__rate_interval]))",
        ),
        (
            'controlcore_component_up{component="controlcore_up"} == 1',
            f'controlcore_component_up{{{CHOSEN}, component="controlcore_up"}} == 1',
        ),
        ("controlcore_bouncer_up", f'controlcore_bouncer_up{{{CHOSEN}, policy_environment=~"$environment"}}'),
        (
            "controlcore:policy_denials:ratio_rate1d",
            f'controlcore:policy_denials:ratio_rate1d{{{CHOSEN}, policy_environment=~"$environment"}}',
        ),
        (
            'count(ALERTS{alertstate="firing"})',
            'count(ALERTS{cluster=~"$cluster|", namespace=~"$namespace|", alertstate="firing"})',
        ),
        ("time() - max(vector(1)) by (controlcore_up)",) * 2,
    ],
)
def test_selectors_get_the_matchers(promql: str, expected: str) -> None:
    assert scope(promql) == expected
