"""Policies that are well formed and make no sense are told."""

from __future__ import annotations

import pytest

from remediations.matcher import parse_matchers
from remediations.policy_lint import find_nonsense
from tests.fakes.decisions import a_policy_set, restart_policy, scale_policy


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
    assert told(first, scale_policy(match=first.match)) == []
    assert told(first, matching('alertname="B"', name="again")) == []
    assert told(restart_policy(), restart_policy(name="again")) == []


def test_policy_that_expires_before_it_is_asked_again_is_told():
    assert told(restart_policy(expires_seconds=10, retry_seconds=10)) == [(0, "expires_seconds")]
