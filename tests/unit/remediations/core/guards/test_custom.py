from __future__ import annotations

import pytest

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import CustomGuard, HoldIf
from tests.fakes.decisions import ask, facts, restart_policy, unknown


def answer(hold_if: HoldIf, fact):
    policy = restart_policy(guards=(CustomGuard("volume", "q", hold_if, "the volume is full"),))
    return ask("custom", policy=policy, facts=facts(custom={} if fact is None else {"volume": fact}))


@pytest.mark.parametrize(("hold_if", "has_samples"), [(HoldIf.NONEMPTY, True), (HoldIf.EMPTY, False)])
def test_named_answer_holds_with_the_reason_and_the_other_passes(hold_if, has_samples):
    outcome = answer(hold_if, Fact(has_samples, "q"))
    assert (outcome.reason, outcome.detail) == (HoldReason.CUSTOM, "volume: the volume is full")
    assert answer(hold_if, Fact(not has_samples, "q")).reason is None


@pytest.mark.parametrize("hold_if", list(HoldIf))
@pytest.mark.parametrize("fact", [unknown(), None])
def test_answer_that_is_missing_or_stale_holds(hold_if, fact):
    assert answer(hold_if, fact).reason is HoldReason.CUSTOM_UNKNOWN
