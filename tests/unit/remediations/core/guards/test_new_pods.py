from __future__ import annotations

import pytest

from remediations.core.model.cluster import NewPods, Template
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import as_revert
from tests.fakes.decisions import a_workload, ask, facts, restart_policy, scale_policy, unknown

EVICTION = restart_policy(action="evict_pod")
REFUSED = NewPods(refusals=("no",))
CROWDED = NewPods(crowded=("full",))


def known(found: NewPods, **workload):
    return facts(template=Fact(Template(new_pods=found), "spec.template"), workload=Fact(a_workload(**workload), "w"))


@pytest.mark.parametrize(
    ("policy", "found", "stops", "is_held"),
    [
        (restart_policy(), REFUSED, 0, True),
        (restart_policy(), REFUSED, 1, True),
        (restart_policy(), CROWDED, 0, True),
        (restart_policy(), CROWDED, 1, False),
        (scale_policy(), REFUSED, 1, True),
        (scale_policy(), CROWDED, 1, True),
        (EVICTION, REFUSED, 0, True),
        (EVICTION, CROWDED, 0, False),
        (as_revert(scale_policy()), REFUSED, 0, False),
        (restart_policy(), NewPods(unread=("x",)), 0, False),
    ],
)
def test_pods_are_not_given_up_for_pods_that_would_be_refused(policy, found, stops, is_held):
    """R5: a full quota matters only if a pod is added first."""
    outcome = ask("new_pods", policy=policy, facts=known(found, unavailable=stops))
    assert (outcome.reason is HoldReason.PODS_REFUSED) is is_held


def test_what_is_not_known_is_told_and_does_not_hold():
    assert ask("new_pods", facts=facts(template=unknown("timeout"))).detail.endswith("timeout")
    assert ask("new_pods", facts=known(NewPods(unread=("quota",)))).detail == "not read: quota"
