from __future__ import annotations

from remediations.core.model.facts import Fact
from remediations.core.policies.policy import as_revert
from tests.fakes.decisions import ask, facts, scale_policy, unknown

GONE = Fact(False, "up == bool 0")


def test_condition_that_is_gone_settles():
    outcome = ask("condition_gone", facts=facts(condition=GONE))
    assert (outcome.is_settled, outcome.reason) == (True, None)


def test_condition_that_is_gone_settles_although_a_dependency_is_down():
    gone = facts(condition=GONE, dependencies={"postgres": Fact(False, "q")})
    assert ask("condition_gone", facts=gone).is_settled


def test_condition_that_is_true_or_unknown_is_left_to_the_other_guards():
    assert not ask("condition_gone").is_settled
    assert not ask("condition_gone", facts=facts(condition=unknown())).is_settled


def test_load_that_does_not_fit_settles_nothing():
    """For a revert the condition is that the load fits the number before: it may fit later."""
    assert not ask("condition_gone", policy=as_revert(scale_policy()), facts=facts(condition=GONE)).is_settled
