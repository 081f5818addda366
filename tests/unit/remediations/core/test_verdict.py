"""Verification: proof, refutation, and everything in between that stays unverified."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core import decide
from remediations.core.action import ActionInput
from remediations.core.model.decision import Act
from remediations.core.model.facts import Fact
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan
from remediations.core.model.remediation import REVERTED, Outcome
from remediations.core.policies.policy import Query
from remediations.core.verdict import Observation, is_effective, verdict
from tests.fakes.decisions import a_request, a_workload, an_autoscaler, restart_policy, scale_policy, unknown

W = 1000.0
"""When it was written."""
MARK = {ANNOTATION_OPERATION: "0001"}
DONE = a_workload(template_annotations=MARK, replicas_ready=3, replicas_available=3)
ROLLING = a_workload(template_annotations=MARK, replicas_updated=1, replicas_total=4)


def plan_of(**changes) -> Plan:
    decision = decide.judge(a_request(**changes), decide.GUARDS)
    assert isinstance(decision, Act)
    return decision.plan


RESTART, SCALE = plan_of(), plan_of(policy=scale_policy())


def seen(at: float, *, workload=DONE, verify=True, condition=False, collected=None, **changes) -> Observation:
    """The observation `at` seconds after the write, from data collected at `collected` (just then when None)."""
    when = W + (at if collected is None else collected)
    return replace(
        Observation(
            W + at,
            unknown("no sample") if verify is None else Fact(verify, "v", collected_at=when),
            unknown("no sample") if condition is None else Fact(condition, "c", collected_at=when),
            unknown("timeout") if workload is None else Fact(workload, "w"),
            Fact((an_autoscaler(maximum=12),), "hpa"),
        ),
        **changes,
    )


def judge(*observations: Observation, at: float = 100, plan: Plan = RESTART, policy=None):
    chosen = policy or restart_policy(verify_timeout_seconds=600)
    return verdict(chosen, plan, observations, W, W + at).outcome


# --- proof


def test_finished_rollout_two_collections_and_a_true_query_succeed():
    assert judge(seen(20), seen(30), seen(40)) is Outcome.SUCCEEDED


def test_new_bound_two_collections_and_a_true_query_succeed():
    assert judge(seen(1), seen(11), seen(21), plan=SCALE) is Outcome.SUCCEEDED


def test_order_in_which_observations_are_given_does_not_matter():
    assert judge(seen(40), seen(20), seen(30)) is Outcome.SUCCEEDED


def test_proof_after_the_timeout_is_still_a_proof():
    assert judge(seen(20), seen(30), seen(40), at=700) is Outcome.SUCCEEDED


# --- not yet


@pytest.mark.parametrize(
    "observations",
    [
        (),
        (seen(20, workload=ROLLING), seen(30, workload=ROLLING), seen(40, workload=ROLLING)),
        (seen(20), seen(30)),
        (seen(20, collected=15), seen(30, collected=15), seen(40, collected=25)),
        (seen(20), seen(30, collected=25), seen(31, collected=25), seen(39, collected=25)),
        (seen(20), seen(30), seen(40, verify=False)),
        (seen(20), seen(30), seen(40, verify=None)),
        (seen(20), seen(30), seen(40), seen(50, workload=None)),
        (seen(20), seen(30), seen(40), seen(50, workload=ROLLING)),
        (seen(20), seen(30), seen(35, workload=ROLLING), seen(40), seen(50)),
        (seen(-30), seen(-20), seen(-10)),
    ],
    ids=[
        "nothing seen",
        "rollout runs",
        "one collection",
        "one collection was made before the end of the rollout",
        "one collection was scraped three times",
        "query is false",
        "query has no answer",
        "cluster has no answer now",
        "another rollout runs now",
        "rollout had only seemed finished",
        "seen before the write",
    ],
)
def test_proof_that_is_not_complete_is_pending(observations):
    assert judge(*observations) is Outcome.PENDING


@pytest.mark.parametrize(
    "workload",
    [
        replace(DONE, replicas_available=2),
        replace(DONE, observed_generation=2),
        replace(DONE, replicas_total=4),
    ],
)
def test_half_of_a_rollout_proves_nothing(workload):
    observations = [seen(at, workload=workload) for at in (20, 30, 40, 50)]
    assert judge(*observations) is Outcome.PENDING
    assert is_effective(RESTART, observations[0]) is False


@pytest.mark.parametrize("autoscaler", [an_autoscaler(), an_autoscaler(maximum=13), an_autoscaler(maximum=12, uid="x")])
def test_other_bound_or_other_autoscaler_has_been_put_there_by_somebody_else(autoscaler):
    observations = [seen(at, autoscalers=Fact((autoscaler,), "hpa")) for at in (20, 30, 40, 50)]
    assert_reverted(SCALE, *observations)


def assert_reverted(plan: Plan, *observations: Observation) -> None:
    """Failed at once, with a separate reason."""
    judged = verdict(restart_policy(), plan, observations, W, W + 50)
    assert (judged.outcome, judged.reason) == (Outcome.FAILED, REVERTED)
    assert judged.detail.endswith("within 50 s")


@pytest.mark.parametrize(
    "workload",
    [
        replace(DONE, uid="another"),
        replace(DONE, template_annotations={}),
        replace(DONE, template_annotations={ANNOTATION_OPERATION: "0002"}),
        replace(DONE, template_annotations={"other": "0001"}),
    ],
)
def test_template_of_another_object_or_operation_has_been_put_there_by_somebody_else(workload):
    assert_reverted(RESTART, seen(20), seen(30), seen(50, workload=workload))


def test_effect_that_tells_by_itself_that_it_was_taken_back_is_reverted():
    scaled = replace(SCALE, expected={"effect": "replicas", "uid": "uid-1", "replicas": 5})
    lost = {"effect": Fact(False, "r"), "kept": Fact(False, "r")}
    assert_reverted(scaled, seen(20, effect=Fact(True, "r"), kept=Fact(True, "r")), seen(50, **lost))
    assert judge(seen(20, **lost | {"kept": Fact(None, "r")}), plan=scaled) is Outcome.PENDING


def test_no_autoscaler_left_is_reverted_and_an_unread_one_is_not():
    assert_reverted(SCALE, seen(50, autoscalers=Fact((), "hpa")))
    assert judge(seen(20, autoscalers=unknown()), plan=SCALE) is Outcome.PENDING


def test_raised_minimum_is_compared_with_the_minimum():
    calm = an_autoscaler(current=4, desired=4)
    plan = decide.ACTIONS["scale_workload"].plan(
        ActionInput(RESTART.target, {"max_replicas_cap": 14, "step": 2}, a_request().facts, "0001")
    )
    raised = replace(plan, expected={"effect": "autoscaler", "uid": "uid-2", "minReplicas": 6})
    assert is_effective(raised, seen(1, autoscalers=Fact((replace(calm, minimum=6),), "hpa"))) is True
    assert is_effective(raised, seen(1, autoscalers=Fact((calm,), "hpa"))) is False


def test_every_collector_behind_the_query_must_have_collected_twice():
    """The time of an answer is that of its oldest collector, so n collectors need n + 1 different times."""
    policy = restart_policy(verify=Query("q", ("api", "workloads")))
    assert judge(seen(20), seen(30), seen(40), policy=policy) is Outcome.PENDING
    assert judge(seen(20), seen(30), seen(40), seen(50), policy=policy) is Outcome.SUCCEEDED


# --- the timeout


@pytest.mark.parametrize(
    ("observations", "outcome"),
    [
        ((seen(590, verify=False, condition=True),), Outcome.FAILED),
        ((seen(590, verify=True, condition=True),), Outcome.FAILED),
        ((seen(590, verify=False, condition=True, workload=ROLLING),), Outcome.FAILED),
        ((seen(590, verify=False, condition=False),), Outcome.UNVERIFIED),
        ((seen(590, verify=True, condition=False),), Outcome.UNVERIFIED),
        ((seen(590, verify=False, condition=None),), Outcome.UNVERIFIED),
        ((seen(590, verify=None, condition=True),), Outcome.UNVERIFIED),
        ((seen(590, verify=False, condition=True, workload=None),), Outcome.UNVERIFIED),
        ((seen(590, verify=False, condition=True, collected=-1),), Outcome.UNVERIFIED),
        ((), Outcome.UNVERIFIED),
    ],
    ids=[
        "condition holds",
        "condition holds although the query is true",
        "condition holds and the rollout never ended",
        "condition gone, query false",
        "condition gone, too few collections",
        "condition unknown",
        "query unknown",
        "cluster unknown",
        "data from before the write",
        "nothing seen",
    ],
)
def test_end_of_the_time_is_failed_only_when_everything_is_known(observations, outcome):
    assert judge(*observations, at=599.9) is Outcome.PENDING
    assert judge(*observations, at=600) is outcome


@pytest.mark.parametrize("name", ["verify", "condition"])
def test_answer_whose_age_nobody_knows_is_unknown(name):
    observation = replace(seen(590, verify=False, condition=True), **{name: Fact(True, "q")})
    assert judge(observation, at=600) is Outcome.UNVERIFIED


@pytest.mark.parametrize("problem", ["cut", ""])
def test_verdict_says_what_is_missing(problem):
    verify = Fact(None, "v", problem, collected_at=W + 40)
    newest = replace(seen(40), verify=verify)
    text = verdict(restart_policy(), RESTART, (seen(20), seen(30), seen(35), newest), W, W + 50).detail
    assert (problem or "collected before the end") in text


def test_newest_answer_from_before_the_end_of_the_effect_proves_nothing():
    """Two exporters may take turns to answer; the older one's data says nothing about the time after the effect."""
    assert judge(seen(20), seen(30), seen(40), seen(50, collected=10)) is Outcome.PENDING


def test_query_true_again_without_a_time_proves_nothing():
    assert judge(seen(20), seen(30), seen(40), replace(seen(50), verify=Fact(True, "v"))) is Outcome.PENDING


def test_unknown_cluster_names_the_problem_of_what_was_asked():
    cut = seen(590, autoscalers=unknown("hpa: timeout"), workload=None)
    assert "timeout" in verdict(scale_policy(), SCALE, (cut,), W, W + 700).detail


def test_plan_with_an_effect_of_another_version_is_never_proven():
    strange = replace(RESTART, expected={"effect": "levitation"})
    assert judge(seen(20), seen(30), seen(40), plan=strange) is Outcome.PENDING
    assert judge(seen(20), seen(30), seen(40), plan=strange, at=600) is Outcome.UNVERIFIED


OBSERVATIONS = st.lists(
    st.builds(
        lambda at, age, verify, condition, workload: seen(
            at, verify=verify, condition=condition, workload=workload, collected=at - age
        ),
        st.integers(-5, 60),
        st.integers(0, 10),
        st.sampled_from([True, False, None]),
        st.sampled_from([True, False, None]),
        st.sampled_from([DONE, ROLLING, None]),
    ),
    max_size=8,
)


@given(OBSERVATIONS)
def test_success_always_rests_on_a_finished_rollout_and_two_later_collections(observations):
    if judge(*observations) is Outcome.SUCCEEDED:
        ends = [item.at for item in observations if item.at >= W and item.workload.value is DONE]
        later = {item.verify.collected_at for item in observations} - {None}
        assert len({time for time in later if time > min(ends)}) >= 2
        assert any(item.verify.value for item in observations)


@given(OBSERVATIONS, st.integers(0, 1200))
def test_more_time_never_turns_a_verdict_into_success(observations, later):
    if judge(*observations, at=100) is not Outcome.SUCCEEDED:
        assert judge(*observations, at=100 + later) is not Outcome.SUCCEEDED
