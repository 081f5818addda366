from __future__ import annotations

import pytest

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import ask, facts, restart_policy, scale_policy, unknown

YES: Fact[bool] = Fact(True, "w")
NO: Fact[bool] = Fact(False, "w")
DONT_KNOW = unknown("timeout")


@pytest.mark.parametrize(
    ("pods", "health", "reason"),
    [
        (YES, YES, None),
        (YES, NO, None),
        (NO, YES, None),
        (YES, DONT_KNOW, None),
        (NO, NO, HoldReason.WITNESSES_DISAGREE),
        (NO, DONT_KNOW, HoldReason.WITNESSES_DISAGREE),
        (DONT_KNOW, DONT_KNOW, HoldReason.WITNESS_MISSING),
    ],
)
def test_one_witness_must_confirm(pods, health, reason):
    assert ask("witnesses", facts=facts(witnesses={"pods": pods, "health": health})).reason is reason


def test_witness_that_was_not_asked_is_missing():
    outcome = ask("witnesses", facts=facts(witnesses={}))
    assert outcome.reason is HoldReason.WITNESS_MISSING
    assert "pods: not asked" in outcome.detail


def test_witness_that_the_policy_does_not_name_does_not_count():
    policy = restart_policy(witnesses=restart_policy().witnesses[:1])
    outcome = ask("witnesses", policy=policy, facts=facts(witnesses={"pods": NO, "health": YES}))
    assert outcome.reason is HoldReason.WITNESSES_DISAGREE


def test_policy_without_witnesses_is_held():
    outcome = ask("witnesses", policy=restart_policy(witnesses=()))
    assert outcome.reason is HoldReason.WITNESS_MISSING
    assert outcome.detail


def test_action_that_stops_nothing_needs_no_witness():
    assert ask("witnesses", policy=scale_policy(), facts=facts(witnesses={})).reason is None
