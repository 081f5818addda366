from __future__ import annotations

import pytest

from remediations.core.model.alert import Target
from remediations.core.model.facts import BreakerReset, History
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import REVERTED, State
from tests.fakes.decisions import API, NOW, a_past_action, ask

AGES = (4000, 6000, 8000)


def past(*states: State, **changes):
    """Past writes, newest first."""
    ages = (*AGES, 9000, 9500)
    return tuple(
        a_past_action(written_at=NOW - age, state=state, **changes) for age, state in zip(ages, states, strict=False)
    )


def test_three_in_a_row_without_proof_open_it():
    outcome = ask("breaker", history=History(past(State.FAILED, State.UNVERIFIED, State.FAILED)))
    assert (outcome.reason, outcome.until) == (HoldReason.BREAKER_OPEN, NOW - 4000 + 14400)


@pytest.mark.parametrize("state", [State.EXPIRED, State.NOT_NEEDED])
def test_attempts_that_got_no_proper_answer_open_it(state):
    """R3: each attempt counts, not each remediation."""
    assert ask("breaker", history=History(past(state, state, attempts=1))).reason is None
    assert ask("breaker", history=History(past(state, state, attempts=2))).reason is HoldReason.BREAKER_OPEN


def test_own_attempts_open_it():
    """R3: what this remediation has sent was not proven, or nothing would be decided now."""
    own = past(State.CLAIMED, remediation="0001", attempts=3)
    assert ask("breaker", history=History(own, attempts=3)).reason is HoldReason.BREAKER_OPEN
    assert ask("breaker", history=History(past(State.CLAIMED, remediation="0001"))).reason is None


@pytest.mark.parametrize(
    "actions",
    [
        past(State.FAILED, State.FAILED),
        past(State.FAILED, State.FAILED, State.SUCCEEDED, State.FAILED),
        past(State.SUCCEEDED, State.FAILED, State.FAILED, State.FAILED),
        past(State.FAILED, State.FAILED, State.FAILED, action="scale_workload"),
        past(State.FAILED, State.FAILED, State.FAILED, target=Target("x", "Deployment", "y")),
        past(State.FAILED, State.FAILED, State.VERIFYING),
    ],
)
def test_fewer_another_action_or_a_success_between_keeps_it_closed(actions):
    assert ask("breaker", history=History(actions)).reason is None


def test_time_closes_it():
    old = tuple(a_past_action(written_at=NOW - 14400 - age, state=State.FAILED) for age in range(3))
    assert ask("breaker", history=History(old)).reason is None


def test_person_closes_it_for_this_action_on_this_target_only():
    failed = past(State.FAILED, State.FAILED, State.FAILED)
    reset = BreakerReset("restart_workload", API.key, "sam", NOW - 5000)
    other = BreakerReset("scale_workload", API.key, "sam", NOW - 5000)
    assert ask("breaker", history=History(failed, breaker_resets=(reset,))).reason is None
    assert ask("breaker", history=History(failed, breaker_resets=(other,))).reason is HoldReason.BREAKER_OPEN


def test_one_write_that_somebody_took_back_opens_it_alone():
    fight = a_past_action(written_at=NOW - 4000, state=State.FAILED, reason=REVERTED)
    outcome = ask("breaker", history=History((fight,)))
    assert (outcome.reason, outcome.until) == (HoldReason.BREAKER_OPEN, NOW - 4000 + 14400)
    assert "undid" in outcome.detail


@pytest.mark.parametrize(
    "actions",
    [
        (a_past_action(written_at=NOW - 14400, state=State.FAILED, reason=REVERTED),),
        (
            a_past_action(written_at=NOW - 3000),
            a_past_action(written_at=NOW - 4000, state=State.FAILED, reason=REVERTED),
        ),
        (a_past_action(written_at=NOW - 4000, state=State.FAILED, reason=REVERTED, action="scale_workload"),),
    ],
    ids=["long ago", "proven since", "another action"],
)
def test_fight_that_is_over_or_another_actions_keeps_it_closed(actions):
    assert ask("breaker", history=History(actions)).reason is None
