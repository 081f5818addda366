from __future__ import annotations

import pytest

from remediations.core.model.alert import Target
from remediations.core.model.facts import History
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Limit, LimitScope
from tests.fakes.decisions import NOW, a_past_action, a_policy_set, ask, restart_policy

OTHER = Target("control-core", "Deployment", "bouncer")


def written(*ages: float, **changes):
    """Writes of these ages, on other targets: a budget counts over all of them."""
    return tuple(a_past_action(remediation=f"p{age}", target=OTHER, written_at=NOW - age, **changes) for age in ages)


def test_policy_that_wrote_as_often_as_allowed_holds_until_a_write_is_old():
    outcome = ask("budget", history=History(written(100, 1000)))
    assert (outcome.reason, outcome.until) == (HoldReason.BUDGET_SPENT, NOW - 1000 + 3600)


def test_more_writes_than_allowed_hold_until_enough_are_old():
    outcome = ask("budget", history=History(written(100, 1000, 2000)))
    assert outcome.until == NOW - 1000 + 3600


def test_one_write_less_passes():
    assert ask("budget", history=History(written(100))).reason is None


def test_write_as_old_as_the_window_does_not_count():
    assert ask("budget", history=History(written(100, 3600))).reason is None


def test_writes_of_another_policy_count_for_the_whole_only():
    others = written(1, 2, 3, policy="scale-api")
    assert ask("budget", history=History(others)).reason is None
    outcome = ask("budget", history=History(others), policy_set=a_policy_set(max_actions=3, max_actions_seconds=60))
    assert (outcome.reason, outcome.until) == (HoldReason.BUDGET_SPENT, NOW - 3 + 60)


@pytest.mark.parametrize(("attempts", "reason"), [(1, None), (2, HoldReason.BUDGET_SPENT)])
def test_one_remediation_tries_no_more_often_than_the_policy_may(attempts, reason):
    assert ask("budget", history=History(attempts=attempts)).reason is reason


def test_every_attempt_of_a_remediation_counts():
    """R3: the journal has one row for a remediation, however often it sent its write."""
    twice = written(100, attempts=2)
    outcome = ask("budget", history=History(twice))
    assert (outcome.reason, outcome.until) == (HoldReason.BUDGET_SPENT, NOW - 100 + 3600)


def test_own_attempts_count_for_the_whole():
    """R3: a policy that may try often does not use more than all together may."""
    own = a_past_action(remediation="0001", written_at=NOW - 1, attempts=3)
    often = restart_policy(budget_actions=9)
    whole = a_policy_set(max_actions=3)
    outcome = ask("budget", policy=often, policy_set=whole, history=History((own,), attempts=3))
    assert outcome.reason is HoldReason.BUDGET_SPENT


def test_own_write_that_was_refused_is_not_counted_twice():
    own = a_past_action(remediation="0001", written_at=NOW - 1)
    assert ask("budget", policy=restart_policy(budget_actions=1), history=History((own,))).reason is None


def test_writes_from_the_future_of_a_clock_that_went_back_count():
    assert ask("budget", history=History(written(-100, -200))).reason is HoldReason.BUDGET_SPENT


@pytest.mark.parametrize("scope", list(LimitScope))
def test_limit_of_each_scope_counts_what_it_names(scope):
    whole = a_policy_set(budgets=(Limit(scope, 1, 60),))
    near = a_past_action(written_at=NOW - 59, policy="restart-api")
    far = a_past_action(written_at=NOW - 59, policy="x", action="y", target=Target("a", "b", "c"))
    outcome = ask("budget", policy_set=whole, history=History((near,)))
    assert (outcome.reason, outcome.until) == (HoldReason.BUDGET_SPENT, NOW + 1)
    assert outcome.detail.startswith(scope.value)
    assert (ask("budget", policy_set=whole, history=History((far,))).reason is None) is (scope is not LimitScope.SYSTEM)
