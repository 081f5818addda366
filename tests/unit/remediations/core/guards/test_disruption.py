from __future__ import annotations

import pytest

from remediations.core.model.alert import Target
from remediations.core.model.cluster import Budgets
from remediations.core.model.facts import Fact, History
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import State
from remediations.core.policies.policy import as_revert
from tests.fakes.decisions import NOW, a_past_action, a_workload, ask, facts, scale_policy, unknown

SIBLING = Target("control-core", "Deployment", "worker")


def seen(budgets=None, **changes):
    """Three of three pods ready unless said otherwise."""
    values = {"replicas_ready": 3, "replicas_available": 3} | changes
    allowed = Fact(Budgets({"api": 1}), "pdb") if budgets is None else budgets
    return {"facts": facts(workload=Fact(a_workload(**values), "w"), budgets=allowed)}


def test_every_pod_ready_passes():
    assert ask("disruption", **seen()).reason is None


def test_every_pod_ready_without_any_budget_passes():
    assert ask("disruption", **seen(Fact(Budgets({}), "pdb"))).reason is None


def test_no_pod_ready_passes():
    assert ask("disruption", **seen(replicas_ready=0, replicas_available=0)).reason is None


@pytest.mark.parametrize("ready", [1, 2])
def test_some_pods_ready_is_held(ready):
    outcome = ask("disruption", **seen(replicas_ready=ready, replicas_available=ready))
    assert (outcome.reason, outcome.detail) == (HoldReason.PARTIALLY_READY, f"{ready} of 3 pods are ready")


def test_budget_that_allows_fewer_than_a_rollout_may_stop_is_held_by_name():
    """R2: two of three ready pods may go at once, and one of the budgets allows one."""
    budgets = Fact(Budgets({"api": 1, "other": 2}), "pdb")
    outcome = ask("disruption", **seen(budgets, unavailable=2))
    words = "a rollout may stop 2 pods at once: api allows 1"
    assert (outcome.reason, outcome.detail) == (HoldReason.DISRUPTION_BUDGET, words)


def test_budget_that_allows_as_many_as_a_rollout_may_stop_passes():
    assert ask("disruption", **seen(Fact(Budgets({"api": 1}), "pdb"), unavailable=1)).reason is None


@pytest.mark.parametrize("budgets", [Fact(Budgets({"api": 0}), "pdb"), unknown("permission")])
def test_rollout_that_stops_no_ready_pod_passes_every_budget(budgets):
    """R2: with maxUnavailable 0 a pod goes when its successor is ready."""
    assert ask("disruption", **seen(budgets, unavailable=0)).reason is None


@pytest.mark.parametrize("stops", [3, 4])
def test_rollout_that_may_stop_every_ready_pod_is_held(stops):
    """R2: without any budget too."""
    outcome = ask("disruption", **seen(Fact(Budgets({}), "pdb"), unavailable=stops))
    words = f"strategy RollingUpdate may stop {stops} pods at once, and 3 are ready"
    assert (outcome.reason, outcome.detail) == (HoldReason.DISRUPTION_BUDGET, words)


def test_only_replica_that_may_be_stopped_before_its_successor_is_ready_is_held():
    """R2: one replica with maxUnavailable 1."""
    one = dict.fromkeys(("replicas_desired", "replicas_updated", "replicas_ready", "replicas_total", "unavailable"), 1)
    assert ask("disruption", **seen(**one)).reason is HoldReason.DISRUPTION_BUDGET


def test_unknown_number_of_pods_that_a_rollout_may_stop_is_held():
    """R2: facts recorded before the number was read say nothing about it."""
    assert ask("disruption", **seen(unavailable=None)).reason is HoldReason.DISRUPTION_BUDGET


def test_budgets_that_cannot_be_read_are_held():
    assert ask("disruption", **seen(unknown("permission"), unavailable=1)).reason is HoldReason.DISRUPTION_BUDGET


def rival(**changes):
    """Another remediation that stops pods of the worker, whose pods the budget `api` selects too."""
    values = {"target": SIBLING, "state": State.VERIFYING, "written_at": NOW - 300, "budgets": ("api",)}
    return History((a_past_action(**values | changes),))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"state": State.WRITING},
        {"state": State.UNVERIFIED, "written_at": NOW - 5},
        {"state": State.HELD, "written_at": NOW - 5},
    ],
    ids=["verifying", "writing", "just-closed", "just-lost"],
)
def test_budget_that_another_remediation_uses_is_held(changes):
    """R2: `disruptionsAllowed` does not know yet of the pod that the other rollout takes next."""
    outcome = ask("disruption", **seen(unavailable=1), history=rival(**changes))
    words = "budget api also covers Deployment/control-core/worker, where remediation 0000 may stop pods"
    assert (outcome.reason, outcome.detail) == (HoldReason.DISRUPTION_BUDGET, words)


@pytest.mark.parametrize(
    "changes",
    [
        {"budgets": ("other",)},
        {"budgets": ()},
        {"target": Target("elsewhere", "Deployment", "worker")},
        {"state": State.SUCCEEDED},
        {"remediation": "0001"},
    ],
    ids=["other-budget", "no-budget", "other-namespace", "long-over", "itself"],
)
def test_budget_that_no_other_remediation_uses_passes(changes):
    assert ask("disruption", **seen(unavailable=1), history=rival(**changes)).reason is None


def test_rollout_that_stops_no_ready_pod_leaves_a_shared_budget_alone():
    assert ask("disruption", **seen(unavailable=0), history=rival()).reason is None


@pytest.mark.parametrize("budgets", [Fact(Budgets({"api": 0}), "pdb"), unknown()])
def test_budget_is_not_asked_when_nothing_is_left_to_lose(budgets):
    assert ask("disruption", **seen(budgets, replicas_ready=0, replicas_available=0)).reason is None


@pytest.mark.parametrize(
    "changes",
    [
        {"observed_generation": 2},
        {"replicas_updated": 2},
        {"replicas_total": 4},
        {"replicas_updated": 0, "replicas_ready": 0, "replicas_available": 0},
    ],
)
def test_rollout_that_runs_is_held(changes):
    assert ask("disruption", **seen(**changes)).reason is HoldReason.ROLLOUT_RUNNING


@pytest.mark.parametrize(
    "changes",
    [
        {"is_paused": True},
        {"replicas_desired": 0, "replicas_updated": 0, "replicas_ready": 0, "replicas_total": 0},
    ],
)
def test_workload_that_somebody_switched_off_is_held(changes):
    assert ask("disruption", **seen(**changes)).reason is HoldReason.WORKLOAD_PAUSED


def test_strategy_that_stops_every_ready_pod_at_once_is_held():
    assert ask("disruption", **seen(strategy="Recreate")).reason is HoldReason.DISRUPTION_BUDGET


def test_strategy_does_not_matter_when_no_pod_is_ready():
    assert ask("disruption", **seen(strategy="Recreate", replicas_ready=0, replicas_available=0)).reason is None


def test_unknown_workload_is_held():
    assert ask("disruption", facts=facts(workload=unknown())).reason is HoldReason.TARGET_UNKNOWN


def test_action_that_stops_nothing_passes():
    assert ask("disruption", policy=scale_policy(), **seen(replicas_ready=1)).reason is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"replicas_ready": 3}, None),
        ({"replicas_ready": 3, "strategy": "Recreate"}, None),
        ({"replicas_ready": 2}, HoldReason.PARTIALLY_READY),
        ({"replicas_ready": 0}, HoldReason.PARTIALLY_READY),
        ({"replicas_ready": 3, "is_paused": True}, HoldReason.WORKLOAD_PAUSED),
        ({"replicas_ready": 3, "replicas_updated": 1}, HoldReason.ROLLOUT_RUNNING),
    ],
)
def test_pods_are_let_go_only_while_every_one_is_ready(changes, reason):
    """Fewer pods ask no disruption budget."""
    known = facts(workload=Fact(a_workload(**changes), "w"), budgets=unknown())
    assert ask("disruption", policy=as_revert(scale_policy()), facts=known).reason is reason
    assert ask("disruption", policy=as_revert(scale_policy()), facts=facts(workload=unknown())).reason is not None
