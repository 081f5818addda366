from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.http.call import Response
from exporter.collectors.policy_engine.canary_answers import (
    CanaryAnswer,
    CanaryFinding,
    CanaryQuestion,
    ProbeResult,
    are_engines_up,
    percentile_95,
    read_answer,
)

ALLOW = CanaryQuestion(user="canary-allow", expected="allow")


def answer(result, question=ALLOW):
    return CanaryAnswer(question, ProbeResult(result), 0.001)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"allow":true,"reason":"Access granted by OPA policy"}', "allow"),
        (b'{"allow":true}', "allow"),
        (b'{"allow":false,"reason":"Access denied by OPA policy"}', "deny"),
        (b'{"allow":false}', "deny"),
        (b'{"allow":false,"reason":"No policy result (undefined) - default deny"}', "undefined"),
        (b'{"allow":false,"reason":"OPA evaluation failed: Post http://opa:8181: refused"}', "engine_error"),
        (b'{"allow":"yes"}', "malformed"),
        (b'{"error":"Invalid request format"}', "malformed"),
        (b"[]", "malformed"),
        (b"<!doctype html>", "malformed"),
    ],
)
def test_body_of_an_answer_means(body, result):
    assert read_answer(Response(200, body, 0.001)) == result


@pytest.mark.parametrize("status", [204, 302, 400, 401, 404, 500, 503])
def test_status_that_a_bouncer_never_gives_is_malformed(status):
    assert read_answer(Response(status, b"", 0.001)) is ProbeResult.MALFORMED


@pytest.mark.parametrize(
    ("is_up", "results", "is_engine_up"),
    [
        (True, ["allow", "deny"], True),
        (True, ["allow", "allow"], True),
        (True, ["allow", "engine_error"], False),
        (True, ["undefined", "undefined"], False),
        (True, ["timeout", "deny"], False),
        (False, ["timeout", "timeout"], None),
        (False, ["engine_error", "timeout"], False),
        (True, ["unreachable", "allow"], None),
        (True, ["malformed", "malformed"], None),
    ],
)
def test_answers_speak_for_or_against_the_engine(is_up, results, is_engine_up):
    assert CanaryFinding(is_up, tuple(answer(result) for result in results)).is_engine_up is is_engine_up


@pytest.mark.parametrize(
    ("states", "is_up"),
    [
        ([], None),
        (["allow", "deny"], True),
        (["allow", "unreachable"], None),
        (["allow", "engine_error"], False),
        (["unreachable", "engine_error"], False),
    ],
)
def test_component_is_up_only_when_every_engine_is_known_to_be(states, is_up):
    findings = [CanaryFinding(is_up=True, answers=(answer(state),)) for state in states]
    assert are_engines_up(findings) is is_up


def test_wrong_decision_is_a_mismatch_and_a_broken_engine_is_none():
    assert answer("deny").is_mismatch
    assert not answer("allow").is_mismatch
    assert not answer("engine_error").is_mismatch


def test_percentile_of_nothing_is_unknown():
    assert percentile_95([]) is None


def test_percentile_of_twenty_leaves_out_the_slowest_one():
    assert percentile_95([*range(1, 20), 100.0]) == 19


@given(st.lists(st.floats(0, 10), min_size=1))
def test_percentile_is_not_exceeded_by_95_percent(seconds):
    bound = percentile_95(seconds)
    assert sum(value <= bound for value in seconds) >= 0.95 * len(seconds)
    assert sum(value < bound for value in seconds) < 0.95 * len(seconds)


def test_question_becomes_the_body_that_a_bouncer_reads():
    assert ALLOW.body() == {
        "user": {"id": "canary-allow"},
        "resource": {"id": "canary-resource", "type": "canary"},
        "action": {"name": "read"},
        "context": {},
    }
