"""Removing a guard changes a decision: each one is needed, and its absence is noticed."""

from __future__ import annotations

import pytest

from remediations.decide import GUARDS, judge
from remediations.decision import Act, Decision, Hold
from remediations.guards import GuardSpec
from remediations.reasons import HoldReason
from tests.fakes.decisions import a_request
from tests.fakes.scenarios import ACT, NOT_NEEDED, SCENARIOS, Scenario


def outcome(decision: Decision) -> HoldReason | str:
    if isinstance(decision, Hold):
        return decision.reason
    return ACT if isinstance(decision, Act) else NOT_NEEDED


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_is_decided_as_it_must(scenario: Scenario):
    assert outcome(judge(a_request(**scenario.changes), GUARDS)) == scenario.expected


@pytest.mark.parametrize("spec", GUARDS, ids=lambda spec: spec.name)
def test_removed_guard_lets_something_act_that_must_not(spec: GuardSpec):
    others = [guard for guard in GUARDS if guard is not spec]
    scenarios = [scenario for scenario in SCENARIOS if scenario.sole_objector == spec.name]
    assert scenarios
    for scenario in scenarios:
        assert outcome(judge(a_request(**scenario.changes), others)) == ACT, scenario.name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_without_guards_shows_that_only_guards_stop_it(scenario: Scenario):
    """What is not stopped by a guard alone is refused by the action itself, for lack of a fact or of room."""
    decision = judge(a_request(**scenario.changes), ())
    if scenario.sole_objector or scenario.expected == ACT:
        assert outcome(decision) == ACT
