from __future__ import annotations

import pytest

from remediations.core.model.alert import Mode
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.matchers import Matcher, MatchType
from tests.fakes.decisions import a_policy_set, a_remediation, an_alert, ask, restart_policy

IDENTITY = (Matcher("cluster", MatchType.EQUAL, "demo"), Matcher("namespace", MatchType.REGEX, "control-.*"))


def with_labels(**labels):
    return {
        "remediation": a_remediation(alert=an_alert(labels=labels)),
        "policy_set": a_policy_set(identity=IDENTITY),
    }


@pytest.mark.parametrize(
    "labels",
    [
        {"cluster": "other", "namespace": "control-core"},
        {"cluster": "demo", "namespace": "my-control-core"},
        {"cluster": "demo"},
        {"cluster": "DEMO", "namespace": "control-core"},
        {},
    ],
)
def test_alert_from_elsewhere_is_foreign(labels):
    assert ask("identity", **with_labels(**labels)).reason is HoldReason.FOREIGN_TARGET


def test_alert_with_the_right_identity_passes():
    assert ask("identity", **with_labels(cluster="demo", namespace="control-core", pod="any")).reason is None


def test_auto_without_any_identity_is_foreign():
    assert ask("identity", policy_set=a_policy_set(identity=())).reason is HoldReason.FOREIGN_TARGET


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.DRY_RUN])
def test_mode_that_changes_nothing_needs_no_identity(mode):
    policy = restart_policy(mode=mode)
    assert ask("identity", policy=policy, policy_set=a_policy_set(identity=())).reason is None
