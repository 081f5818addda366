"""The plan of an eviction: one pod that does not serve, by uid, while others do."""

from __future__ import annotations

from typing import Any

import pytest

from remediations.core.action import ActionInput
from remediations.core.actions.evict_pod import plan
from remediations.core.model.cluster import Budgets, Pod
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import ActionFacts, Fact
from remediations.core.model.plan import Plan
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import API, a_workload, facts, unknown

READY = {"replicas_ready": 2, "replicas_available": 2}


def pods(*unready: float | None, ready: int = 2) -> tuple[Pod, ...]:
    """So many ready pods, and one more for each duration."""
    well = [Pod(f"well-{number}", f"uid-well-{number}", True) for number in range(ready)]
    sick = [Pod(f"sick-{number}", f"uid-{number}", False, seconds) for number, seconds in enumerate(unready)]
    return (*well, *sick)


def answer(seen: Any, **changes: Any) -> Plan | GuardOutcome:
    values = {"workload": Fact(a_workload(**READY), "w"), **changes}
    chosen = facts(**values, sights=ActionFacts(pods=seen if isinstance(seen, Fact) else Fact(seen, "pods")))
    return plan(ActionInput(API, {"unready_seconds": 120}, chosen, "op-1"))


def test_eviction_names_the_pod_by_uid_and_what_tells_that_it_is_done():
    made = answer(pods(300.0))
    assert isinstance(made, Plan)
    (step,) = made.steps
    assert step.path == "/api/v1/namespaces/control-core/pods/sick-0/eviction"
    assert step.body["deleteOptions"] == {"preconditions": {"uid": "uid-0"}}
    assert (step.look_path, step.gone_uid) == ("/api/v1/namespaces/control-core/pods/sick-0", "uid-0")
    assert made.expected == {"effect": "pod_gone", "uid": "uid-1", "pod": "sick-0", "pod_uid": "uid-0"}


def test_pod_that_has_been_unready_longest_goes_first_and_only_that_one():
    made = answer(pods(300.0, 500.0, 400.0, ready=1))
    assert isinstance(made, Plan)
    assert [step.gone_uid for step in made.steps] == ["uid-1"]


def test_workload_whose_pods_are_all_ready_needs_nothing():
    made = answer(pods(ready=3))
    assert isinstance(made, GuardOutcome)
    assert (made.is_settled, made.reason) == (True, None)


@pytest.mark.parametrize(
    ("seen", "changes", "reason"),
    [
        (pods(300.0, ready=0), {}, HoldReason.NOTHING_READY),
        (pods(60.0), {}, HoldReason.PARTIALLY_READY),
        (pods(None), {}, HoldReason.PARTIALLY_READY),
        ((*pods(ready=2), Pod("ending", "uid-e", False, 900.0, is_ending=True)), {}, HoldReason.PARTIALLY_READY),
        (pods(300.0), {"workload": Fact(a_workload(is_paused=True), "w")}, HoldReason.WORKLOAD_PAUSED),
        (pods(300.0), {"workload": Fact(a_workload(replicas_updated=1), "w")}, HoldReason.ROLLOUT_RUNNING),
        (pods(300.0), {"budgets": unknown("timeout")}, HoldReason.DISRUPTION_BUDGET),
        (pods(300.0), {"budgets": Fact(Budgets({"a": 1, "b": 1}), "pdb")}, HoldReason.DISRUPTION_BUDGET),
        (pods(300.0), {"workload": unknown("timeout")}, HoldReason.TARGET_UNKNOWN),
        (unknown("timeout"), {}, HoldReason.TARGET_UNKNOWN),
    ],
)
def test_eviction_that_could_hurt_is_refused(seen, changes, reason):
    made = answer(seen, **changes)
    assert isinstance(made, GuardOutcome)
    assert made.reason is reason
    assert made.detail


def test_pods_that_nobody_looked_at_have_no_plan():
    made = plan(ActionInput(API, {"unready_seconds": 120}, facts(), "op-1"))
    assert made.reason is HoldReason.TARGET_UNKNOWN
