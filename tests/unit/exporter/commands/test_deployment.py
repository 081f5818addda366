"""A collector's limit follows from the settings and the number of bouncers."""

from __future__ import annotations

from exporter.commands.deployment import budget_of
from exporter.settings import ExporterSettings, LimitSettings


def test_each_bouncer_that_was_asked_for_adds_to_the_budget() -> None:
    settings = ExporterSettings(limits=LimitSettings(max_series_per_collector=100, max_series_per_bouncer=10))
    assert [budget_of(settings, bouncers).max_series for bouncers in (0, 3)] == [100, 130]


def test_a_thousand_bouncers_fit_as_shipped() -> None:
    """`policy` makes about 35 series of each; see the benchmark with 1,000 bouncers."""
    assert budget_of(ExporterSettings(), 1000).max_series >= 35 * 1000
