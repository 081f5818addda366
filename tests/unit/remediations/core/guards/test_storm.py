from __future__ import annotations

from remediations.core.model.facts import History
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import StormLimit
from tests.fakes.decisions import NOW, a_policy_set, ask

SMALL = a_policy_set(storm=StormLimit(alerts=3, window_seconds=60, cooldown_seconds=600))


def arrived(*ages: float):
    return ask("storm", policy_set=SMALL, history=History(arrivals=tuple(NOW - age for age in ages)))


def test_storm_holds_through_its_cooldown():
    outcome = arrived(599, 620, 650)
    assert (outcome.reason, outcome.until) == (HoldReason.STORM, NOW + 1)


def test_storm_whose_cooldown_is_over_passes():
    assert arrived(600, 620, 650).reason is None


def test_as_many_alerts_spread_out_pass():
    assert arrived(1, 40, 62).reason is None


def test_few_alerts_pass():
    assert arrived(1, 2).reason is None
