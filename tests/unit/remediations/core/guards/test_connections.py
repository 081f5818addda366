from __future__ import annotations

import pytest

from remediations.core.model.cluster import Pods
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import ConnectionBudget
from tests.fakes.decisions import NOW, a_workload, an_autoscaler, ask, facts, restart_policy, scale_policy, unknown

BUDGET = ConnectionBudget(10, "limit", ("postgres",))


def restarting(*, surge: int, terminating: int, limit=None):
    return ask(
        "connections",
        policy=restart_policy(connections=BUDGET),
        facts=facts(
            workload=Fact(a_workload(surge=surge), "w"),
            pods=Fact(Pods(NOW, terminating), "p"),
            connection_limit=limit or Fact(50.0, "limit"),
        ),
    )


def test_surge_and_terminating_pods_are_counted():
    outcome = restarting(surge=1, terminating=1)
    assert outcome.reason is HoldReason.CONNECTION_BUDGET
    assert outcome.detail == "3 replicas + 1 surge + 1 terminating, 10 connections each: 50, 40 allowed"


def test_exactly_the_share_passes():
    assert restarting(surge=1, terminating=0).reason is None


@pytest.mark.parametrize(("maximum", "holds"), [(2, False), (10, True)])
def test_replicas_that_the_plan_allows_are_counted(maximum, holds):
    autoscaler = an_autoscaler(minimum=1, maximum=maximum, current=maximum, desired=maximum)
    outcome = ask(
        "connections",
        policy=scale_policy(connections=BUDGET),
        facts=facts(autoscalers=Fact((autoscaler,), "hpa"), connection_limit=Fact(50.0, "limit")),
    )
    assert (outcome.reason is HoldReason.CONNECTION_BUDGET) is holds


def test_action_without_a_plan_is_judged_by_the_pods_that_run():
    policy = scale_policy(connections=BUDGET, parameters={"max_replicas_cap": 1})
    assert ask("connections", policy=policy).reason is None


def test_unknown_number_holds():
    assert restarting(surge=0, terminating=0, limit=unknown()).reason is HoldReason.CONNECTIONS_UNKNOWN
    policy = restart_policy(connections=BUDGET)
    assert ask("connections", policy=policy, facts=facts(pods=unknown())).reason is HoldReason.CONNECTIONS_UNKNOWN
    assert ask("connections", policy=policy, facts=facts(workload=unknown())).reason is HoldReason.TARGET_UNKNOWN


def test_policy_without_a_budget_passes():
    assert ask("connections", facts=facts(connection_limit=unknown())).reason is None
