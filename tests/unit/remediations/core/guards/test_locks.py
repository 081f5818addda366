from __future__ import annotations

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import Query, as_revert
from tests.fakes.decisions import a_policy_set, ask, facts, scale_policy, unknown

LOCKED = a_policy_set(locks={"backup": Query("b", ("api",)), "recovery": Query("r", ("api",))})


def locks(**values):
    return ask("locks", policy_set=LOCKED, facts=facts(locks=values))


def test_lock_that_is_held_holds_and_is_named():
    outcome = locks(backup=unknown(), recovery=Fact(True, "r"))
    assert (outcome.reason, outcome.detail) == (HoldReason.LOCKED, "recovery running")


def test_unknown_lock_holds():
    assert locks(backup=unknown(), recovery=Fact(False, "r")).reason is HoldReason.LOCK_UNKNOWN
    assert locks(recovery=Fact(False, "r")).reason is HoldReason.LOCK_UNKNOWN


def test_free_locks_pass():
    assert locks(backup=Fact(False, "b"), recovery=Fact(False, "r")).reason is None


def test_lock_holds_what_lets_pods_go_too():
    revert = as_revert(scale_policy())
    outcome = ask("locks", policy=revert, policy_set=LOCKED, facts=facts(locks={"backup": Fact(True, "b")}))
    assert outcome.reason is HoldReason.LOCKED
