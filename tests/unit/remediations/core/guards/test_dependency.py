from __future__ import annotations

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import ask, facts, restart_policy, unknown

DOWN: Fact[bool] = Fact(False, "up")
UP: Fact[bool] = Fact(True, "up")


def test_dependency_that_is_down_holds_by_name():
    outcome = ask("dependency", facts=facts(dependencies={"postgres": DOWN}))
    assert outcome.reason is HoldReason.DEPENDENCY_DOWN
    assert "postgres" in outcome.detail


def test_dependency_that_nobody_knows_holds():
    outcome = ask("dependency", facts=facts(dependencies={"postgres": unknown("no sample")}))
    assert outcome.reason is HoldReason.DEPENDENCY_UNKNOWN
    assert "no sample" in outcome.detail


def test_dependency_that_was_not_asked_holds():
    assert ask("dependency", facts=facts(dependencies={})).reason is HoldReason.DEPENDENCY_UNKNOWN


def test_known_fault_wins_over_an_unknown_one():
    policy = restart_policy(dependencies=("redis", "postgres"))
    outcome = ask("dependency", policy=policy, facts=facts(dependencies={"redis": unknown(), "postgres": DOWN}))
    assert outcome.reason is HoldReason.DEPENDENCY_DOWN


def test_every_dependency_up_passes():
    assert ask("dependency", facts=facts(dependencies={"postgres": UP})).reason is None


def test_fault_of_something_the_policy_does_not_depend_on_passes():
    assert ask("dependency", facts=facts(dependencies={"postgres": UP, "redis": DOWN})).reason is None


def test_policy_without_dependencies_passes():
    assert ask("dependency", policy=restart_policy(dependencies=()), facts=facts(dependencies={})).reason is None
