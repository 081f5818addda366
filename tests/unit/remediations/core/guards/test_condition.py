from __future__ import annotations

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import as_revert
from tests.fakes.decisions import ask, facts, scale_policy, unknown


def test_condition_that_holds_passes():
    outcome = ask("condition")
    assert (outcome.is_settled, outcome.reason) == (False, None)


def test_unknown_condition_holds_with_its_problem():
    outcome = ask("condition", facts=facts(condition=unknown("collected 120 s ago")))
    assert (outcome.reason, outcome.detail) == (HoldReason.CONDITION_UNKNOWN, "collected 120 s ago")


def test_unknown_condition_without_a_problem_still_has_a_detail():
    assert ask("condition", facts=facts(condition=unknown(""))).detail


def test_unknown_condition_beside_a_dependency_that_is_down_names_the_dependency():
    outcome = ask("condition", facts=facts(condition=unknown(), dependencies={"postgres": Fact(False, "q")}))
    assert outcome.reason is HoldReason.DEPENDENCY_DOWN
    assert "postgres" in outcome.detail


def test_unknown_condition_beside_an_unknown_dependency_stays_unknown():
    outcome = ask("condition", facts=facts(condition=unknown(), dependencies={"postgres": unknown()}))
    assert outcome.reason is HoldReason.CONDITION_UNKNOWN


def test_load_that_does_not_fit_holds_what_lets_pods_go():
    """For a revert the condition is that the load fits the number before: it may fit later."""
    revert = as_revert(scale_policy())
    outcome = ask("condition", policy=revert, facts=facts(condition=Fact(False, "load < bool 0.6")))
    assert (outcome.reason, outcome.is_settled) == (HoldReason.LOAD_TOO_HIGH, False)
    assert ask("condition", policy=revert).reason is None
    assert ask("condition", policy=revert, facts=facts(condition=unknown())).reason is HoldReason.CONDITION_UNKNOWN
