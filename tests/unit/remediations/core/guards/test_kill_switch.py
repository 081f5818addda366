from __future__ import annotations

import pytest

from remediations.core.model.facts import Pause
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, ask, facts


@pytest.mark.parametrize("until", [None, NOW + 1])
def test_pause_in_force_holds_and_names_who_and_why(until):
    outcome = ask("kill_switch", facts=facts(pauses=(Pause("night", "sam", "moving racks", until),)))
    assert (outcome.reason, outcome.until) == (HoldReason.KILL_SWITCH, None)
    assert "night by sam: moving racks" in outcome.detail


def test_pause_that_has_ended_passes():
    assert ask("kill_switch", facts=facts(pauses=(Pause("night", "sam", "moving racks", NOW),))).reason is None


def test_one_of_two_pauses_in_force_holds():
    pauses = (Pause("old", "sam", "done", NOW - 1), Pause("new", "kim", "audit", None))
    outcome = ask("kill_switch", facts=facts(pauses=pauses))
    assert outcome.reason is HoldReason.KILL_SWITCH
    assert "sam" not in outcome.detail


@pytest.mark.parametrize(
    ("scope", "is_held"),
    [
        ({"policy": "restart-api"}, True),
        ({"policy": "restart-ap"}, False),
        ({"target": "Deployment/control-core/control-plane-api"}, True),
        ({"target": "Deployment/control-core/control-plane"}, False),
        ({"policy": "restart-api", "target": "Deployment/control-core/other"}, False),
    ],
)
def test_pause_holds_what_it_names_and_nothing_else(scope, is_held):
    outcome = ask("kill_switch", facts=facts(pauses=(Pause("night", "sam", "racks", None, **scope),)))
    assert (outcome.reason is HoldReason.KILL_SWITCH) is is_held


def test_pause_of_a_policy_holds_its_reverts():
    pause = Pause("night", "sam", "racks", None, policy="scale-api")
    assert pause.covers("scale-api:revert", "any")
    assert not pause.covers("scale-api-more", "any")


def test_no_pause_passes():
    assert ask("kill_switch").reason is None
