"""Which alert belongs to which policy, and which of its targets is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.model.alert import Target
from remediations.core.policies.matchers import Matcher, MatchType
from remediations.core.policies.policy import choose_target, matches
from tests.fakes.decisions import API, restart_policy

MATCHING = restart_policy(match=(Matcher("alertname", MatchType.EQUAL, "HighCPUUsage"),))
BOUNCER = Target("control-core", "Deployment", "bouncer")
ELSEWHERE = Target("sandbox", "Deployment", "bouncer")
SEVERAL = restart_policy(targets=(API, BOUNCER, ELSEWHERE))


@pytest.mark.parametrize(
    ("policy", "labels", "expected"),
    [
        (MATCHING, {"alertname": "HighCPUUsage"}, True),
        (MATCHING, {"alertname": "Other"}, False),
        (MATCHING, {"alertname": "Other", "remediation": "restart-api"}, True),
        (restart_policy(), {"alertname": "Any", "remediation": "restart-api"}, True),
        (restart_policy(), {"alertname": "Any"}, False),
        (restart_policy(), {"remediation": "none"}, False),
        (restart_policy(), {}, False),
    ],
)
def test_alert_belongs_to_a_policy_by_label_or_matchers(policy, labels, expected):
    assert matches(policy, labels) is expected


@pytest.mark.parametrize(
    ("policy", "labels", "expected"),
    [
        (restart_policy(), {}, API),
        (restart_policy(), {"namespace": "control-core", "deployment": "control-plane-api"}, API),
        (restart_policy(), {"namespace": "", "deployment": ""}, API),
        (SEVERAL, {"deployment": "control-plane-api"}, API),
        (SEVERAL, {"deployment": "bouncer", "namespace": "sandbox"}, ELSEWHERE),
        (SEVERAL, {"namespace": "sandbox"}, ELSEWHERE),
    ],
)
def test_labels_choose_among_the_listed_targets(policy, labels, expected):
    assert choose_target(policy, labels) == expected


@pytest.mark.parametrize(
    ("policy", "labels", "expected"),
    [
        (restart_policy(), {"namespace": "kube-system"}, Target("kube-system", "Deployment", "*")),
        (restart_policy(), {"deployment": "coredns"}, Target("*", "Deployment", "coredns")),
        (SEVERAL, {}, Target("*", "Deployment", "*")),
        (SEVERAL, {"deployment": "bouncer"}, Target("*", "Deployment", "bouncer")),
        (SEVERAL, {"namespace": "control-core"}, Target("control-core", "Deployment", "*")),
        (restart_policy(), {"deployment": "x" * 10_000}, Target("*", "Deployment", "x" * 253)),
        (restart_policy(), {"deployment": "\ud800"}, Target("*", "Deployment", "?")),
        (restart_policy(targets=()), {}, Target("*", "*", "*")),
    ],
)
def test_labels_that_choose_none_or_several_give_what_no_list_contains(policy, labels, expected):
    chosen = choose_target(policy, labels)
    assert chosen == expected
    assert chosen not in policy.targets


@given(st.dictionaries(st.sampled_from(["namespace", "deployment", "kind", "name", "pod"]), st.text(max_size=30)))
def test_no_label_makes_a_target_that_is_not_listed_look_listed(labels):
    chosen = choose_target(SEVERAL, labels)
    if chosen in SEVERAL.targets:
        assert labels.get("namespace") in {None, "", chosen.namespace}
        assert labels.get("deployment") in {None, "", chosen.name}
