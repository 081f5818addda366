"""Well-formed but useless policies are reported."""

from __future__ import annotations

import pytest

from remediations.core.model.alert import Mode, Target
from remediations.core.policies.lint import find_nonsense, find_placeholders, find_queries
from remediations.core.policies.matchers import parse_matchers
from remediations.core.policies.policy import Rung, Witness, WitnessKind
from tests.fakes.decisions import API, a_policy_set, restart_policy, scale_policy


def told(*policies):
    return [(index, key) for index, key, _ in find_nonsense(a_policy_set(*policies))]


def matching(text: str, **changes):
    return restart_policy(match=parse_matchers(text), **changes)


@pytest.mark.parametrize(
    "text",
    [
        'alertname="A",alertname="B"',
        'cluster="other"',
        'alertname="A",alertname!="A"',
        'alertname="A",alertname=~"B.*"',
        'remediation="scale-api"',
    ],
)
def test_policy_that_can_never_match_is_told(text):
    assert told(matching(text)) == [(0, "match")]


@pytest.mark.parametrize("text", ['alertname="A"', 'alertname="A",alertname=~"A|B"', 'remediation="restart-api"'])
def test_policy_that_can_match_is_not(text):
    assert told(matching(text)) == []


def test_two_policies_for_the_same_are_told_and_others_not():
    first = matching('alertname="A"')
    assert told(first, matching('alertname="A"', name="again")) == [(1, "match")]
    assert told(first, matching('severity="critical"', name="again")) == [(1, "match")]
    assert told(first, matching('alertname="A",severity!="critical"', name="again")) == [(1, "match")]
    assert told(first, matching('severity!="critical",alertname!="A"', name="again")) == []
    assert told(first, matching('alertname="B"', name="again")) == []
    assert told(restart_policy(), restart_policy(name="again")) == []


def test_policy_that_expires_before_it_is_asked_again_is_told():
    assert told(restart_policy(expires_seconds=10, retry_seconds=10)) == [(0, "expires_seconds")]


@pytest.mark.parametrize(("give_up", "retry", "is_told"), [(60, 60.0, True), (61, 60.0, False), (60, 3600.0, True)])
def test_revert_that_expires_before_it_is_tried_again_is_told(give_up, retry, is_told):
    reverting = {"max_replicas_cap": 6, "revert_if": "load < $old", "revert_give_up_seconds": give_up}
    keys = [(0, "parameters.revert_give_up_seconds")] * is_told
    times = {"retry_seconds": retry, "expires_seconds": 2 * retry}
    assert told(scale_policy(parameters=reverting, **times)) == keys
    assert told(scale_policy(parameters={**reverting, "revert_if": ""}, **times)) == []
    ladder = (Rung("scale_workload", reverting),)
    assert told(restart_policy(ladder=ladder, **times)) == [(index, f"ladder[0].{key}") for index, key in keys]


def test_one_alert_that_leads_to_two_changes_of_one_workload_is_told():
    """Which of them came first would be chance: the second belongs on the first one's ladder."""
    first = matching('alertname="A"')
    assert told(first, scale_policy(match=first.match)) == [(1, "match")]
    elsewhere = Target("control-core", "Deployment", "bouncer")
    assert told(first, scale_policy(match=first.match, targets=(elsewhere,))) == []


def test_policy_that_takes_the_fault_for_the_repair_is_told():
    assert told(restart_policy(verify=restart_policy().condition)) == [(0, "verify")]


@pytest.mark.parametrize(
    ("rung", "changes", "key"),
    [
        (Rung("run_backup_job"), {}, "ladder[0].targets"),
        (Rung("restart_workload"), {"budget_actions": 1}, "budget_actions"),
        (Rung("restart_workload"), {"action": "scale_workload", "witnesses": ()}, "ladder[0].action"),
    ],
)
def test_rung_that_could_never_act_is_told(rung, changes, key):
    assert told(restart_policy(ladder=(rung,), **changes)) == [(0, key)]
    assert told(restart_policy(ladder=(Rung("restart_workload"),))) == []


def test_placeholder_is_told_and_refused_where_something_acts():
    witness = Witness("health", WitnessKind.HTTP, "http://api.invalid:8000/health")
    calls = Rung("clear_bouncer_cache", {"urls": ("http://bouncer", "http://second.invalid:8080")}, (API,))
    places = ["ladder[0].parameters.urls[1]", "witnesses[0].url"]
    for mode, expected in ((Mode.DRY_RUN, []), (Mode.APPROVE, places), (Mode.AUTO, places)):
        policy = restart_policy(mode=mode, witnesses=(witness,), ladder=(calls,))
        assert [key for _, key, _ in find_placeholders(a_policy_set(policy))] == places
        assert [key for _, key in told(policy)] == expected


def test_every_question_has_its_place():
    """A forgotten query would not be checked."""
    policy = scale_policy(parameters={"max_replicas_cap": 6, "revert_if": "load < $old / $new"}, ladder=RUNGS)
    found = dict(find_queries(a_policy_set(restart_policy(), policy)))
    assert found["policies[1] (scale-api).parameters.revert_if"] == "load < 1 / 2"
    assert found["policies[1] (scale-api).ladder[0].parameters.canary"] == "ok"
    assert "policies[0] (restart-api).condition.promql" in found
    assert "policies[0] (restart-api).verify.promql" in found


RUNGS = (Rung("clear_bouncer_cache", {"urls": ("http://b",), "canary": "ok", "canary_collectors": ("bouncers",)}),)
