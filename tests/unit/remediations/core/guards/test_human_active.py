from __future__ import annotations

import pytest

from remediations.core.model.cluster import ObjectChange
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, ask, facts, restart_policy, unknown


def changed(*ages: float):
    return facts(changes=Fact(tuple(ObjectChange("kubectl", "spec.template", NOW - age) for age in ages), "fields"))


def test_rollout_of_five_minutes_ago_holds_until_the_quiet_time_is_over():
    outcome = ask("human_active", facts=changed(300, 5000))
    assert (outcome.reason, outcome.until) == (HoldReason.HUMAN_ACTIVE, NOW + 1500)
    assert "kubectl changed spec.template 300 s ago" in outcome.detail


def test_change_as_old_as_the_quiet_time_passes():
    assert ask("human_active", facts=changed(1800)).reason is None


@pytest.mark.parametrize("name", ["human_active", "recent_change"])
def test_unknown_changes_hold_unless_the_policy_does_not_care(name):
    lost = facts(changes=unknown())
    assert ask(name, facts=lost).reason is HoldReason.CHANGES_UNKNOWN
    careless = restart_policy(human_quiet_seconds=0, change_quiet_seconds=0)
    assert ask(name, facts=lost, policy=careless).reason is None
    assert ask(name, facts=facts(changes=unknown(), workload=unknown())).reason is None
