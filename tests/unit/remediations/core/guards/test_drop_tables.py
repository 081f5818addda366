from __future__ import annotations

from dataclasses import replace

import pytest

from remediations.core.decide import ACTIONS
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import a_workload, ask, facts, restart_policy, scale_policy, unknown

BOTH = pytest.mark.parametrize("policy", [restart_policy(), scale_policy()], ids=lambda policy: policy.action)


@BOTH
def test_template_that_deletes_the_tables_is_held(policy):
    outcome = ask("drop_tables", policy=policy, facts=facts(workload=Fact(a_workload(drop_tables=True), "w")))
    assert outcome.reason is HoldReason.DROP_TABLES


@BOTH
def test_template_that_cannot_be_read_is_held(policy):
    workload = a_workload(drop_tables=None, drop_tables_problem="Secret api-env: forbidden")
    outcome = ask("drop_tables", policy=policy, facts=facts(workload=Fact(workload, "w")))
    assert (outcome.reason, outcome.detail) == (HoldReason.TEMPLATE_UNREADABLE, "Secret api-env: forbidden")


@BOTH
def test_harmless_template_passes(policy):
    assert ask("drop_tables", policy=policy).reason is None


def test_template_that_was_not_read_has_a_detail():
    assert ask("drop_tables", facts=facts(workload=Fact(a_workload(drop_tables=None), "w"))).detail == "not read"


def test_unknown_workload_is_held():
    assert ask("drop_tables", facts=facts(workload=unknown())).reason is HoldReason.TARGET_UNKNOWN


def test_action_that_starts_nothing_passes():
    action = replace(ACTIONS["restart_workload"], effects=frozenset())
    assert ask("drop_tables", action=action, facts=facts(workload=unknown())).reason is None
