"""The plans that call the product instead of the cluster: OPAL's triggers, the bouncers' caches, idle sessions."""

from __future__ import annotations

from typing import Any

import pytest

from remediations.core.action import ActionInput
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Target
from remediations.core.model.cluster import CronJob
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import ActionFacts, Fact, IdleSessions
from remediations.core.model.plan import GateStep, HttpStep, Plan, SqlStep
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import facts, unknown

OPAL = Target("control-core", "OpalClient", "opal-client")
FLEET = Target("control-core", "BouncerFleet", "bouncers")
DATABASE = Target("control-core", "Database", "postgresql")
BACKUP = Target("control-core", "CronJob", "postgres-backup")


def answer(action: str, target: Target, *, sights: ActionFacts | None = None, **parameters: Any) -> Plan | GuardOutcome:
    spec = ACTIONS[action]
    chosen = facts(sights=sights if sights is not None else ActionFacts())
    return spec.plan(ActionInput(target, spec.defaults | parameters, chosen, "op-1"))


def test_opal_client_is_asked_for_policies_and_then_for_data():
    made = answer("trigger_policy_update", OPAL, url="http://opal:7000/")
    assert made.steps == (
        HttpStep("POST", "http://opal:7000/policy-updater/trigger"),
        HttpStep("POST", "http://opal:7000/data-updater/trigger"),
    )
    assert len(answer("trigger_policy_update", OPAL, url="http://opal:7000", with_data=False).steps) == 1


def test_caches_are_cleared_on_one_bouncer_and_on_the_rest_after_its_canary():
    urls = ("http://a:8080", "http://b:8080", "http://c:8080")
    made = answer("clear_bouncer_cache", FLEET, urls=urls, canary="ok", canary_collectors=("bouncers",))
    paths = [step.url for step in made.steps if isinstance(step, HttpStep)]
    assert paths == [f"{url}/api/v1/policies/cache/clear" for url in urls]
    assert made.steps[1] == GateStep("ok", ("bouncers",), 60.0, 180.0)


def test_single_bouncer_needs_no_canary():
    assert len(answer("clear_bouncer_cache", FLEET, urls=("http://a:8080",)).steps) == 1


@pytest.mark.parametrize("parameters", [{}, {"canary": "ok"}, {"canary_collectors": ("bouncers",)}])
def test_fleet_without_a_fresh_canary_is_refused(parameters):
    made = answer("clear_bouncer_cache", FLEET, urls=("http://a", "http://b"), **parameters)
    assert made.reason is HoldReason.CONDITION_UNKNOWN


def test_idle_sessions_are_ended_by_one_call_with_the_limits():
    made = answer(
        "terminate_idle_sessions", DATABASE, sights=ActionFacts(idle_sessions=Fact(IdleSessions(9, 4000.0), "sql"))
    )
    (step,) = made.steps
    assert isinstance(step, SqlStep)
    assert step.arguments == (600.0, 5)
    assert "end 5 of 9 sessions" in made.summary


def test_no_idle_session_needs_nothing():
    made = answer(
        "terminate_idle_sessions", DATABASE, sights=ActionFacts(idle_sessions=Fact(IdleSessions(0, 0.0), "sql"))
    )
    assert (made.is_settled, made.reason) == (True, None)


@pytest.mark.parametrize("sights", [ActionFacts(), ActionFacts(idle_sessions=unknown("exhausted"))])
def test_sessions_that_cannot_be_seen_are_not_ended(sights):
    assert answer("terminate_idle_sessions", DATABASE, sights=sights).reason is HoldReason.TARGET_UNKNOWN


def test_backup_job_has_a_name_of_its_operation_and_holds_no_template():
    seen = ActionFacts(cron_job=Fact(CronJob("uid-c", 4), "cron"))
    made = answer("run_backup_job", BACKUP, sights=seen)
    (step,) = made.steps
    assert made == answer("run_backup_job", BACKUP, sights=seen)
    assert step.body["metadata"]["name"].startswith("postgres-backup-")
    assert len(step.body["metadata"]["name"]) <= 52
    assert "spec" not in step.body
    assert (step.template_uid, step.template_generation) == ("uid-c", 4)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (None, HoldReason.TARGET_UNKNOWN),
        (unknown("timeout: x"), HoldReason.TARGET_UNKNOWN),
        (unknown("missing: x"), HoldReason.TARGET_MISSING),
        (Fact(CronJob("u", 1, active=("nightly",)), "c"), HoldReason.TARGET_BUSY),
        (Fact(CronJob("u", 1, is_suspended=True), "c"), HoldReason.WORKLOAD_PAUSED),
    ],
)
def test_backup_that_must_not_start_is_refused(fact, reason):
    assert answer("run_backup_job", BACKUP, sights=ActionFacts(cron_job=fact)).reason is reason
