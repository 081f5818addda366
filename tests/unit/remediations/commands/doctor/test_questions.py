"""What Prometheus must answer before policies can act."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chassis.errors import PermanentError, Reason
from remediations.commands.doctor.installation import remedy_for, severity_of
from remediations.commands.doctor.questions import (
    BUILD,
    check_collectors,
    check_prometheus,
    check_promql,
    check_scraped,
    check_series,
    judge_clock,
)
from remediations.core.model.alert import Mode
from remediations.core.policies.limits import ConnectionBudget
from remediations.core.policies.policy import Query
from remediations.facts.prometheus import FRESHNESS
from remediations.settings import RemediatorSettings
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import a_policy_set, restart_policy
from tests.fakes.installation import AskedPrometheus, a_place, found_by, sample, told

ONE = a_policy_set(restart_policy())
CONDITION, VERIFY = ONE.policies[0].condition.promql, ONE.policies[0].verify.promql
DEPENDENCY = ONE.dependencies["postgres"].promql


def answering(**others: Any) -> Any:
    """An installation whose Prometheus has everything in ONE, with other answers by query."""
    clock = ManualClock()
    good = {
        FRESHNESS: (sample(clock.now(), collector="api"), sample(clock.now(), collector="postgres_canary")),
        CONDITION: (sample(0.0),),
        VERIFY: (sample(1.0),),
        DEPENDENCY: (sample(1.0),),
        f"count({BUILD})": (sample(1.0),),
    }
    return a_place(ONE, prometheus=AskedPrometheus(good | others), clock=clock)


@pytest.mark.parametrize("check", [check_collectors, check_series, check_scraped, check_promql])
async def test_good_answers_are_no_finding(check: Any) -> None:
    assert await found_by(check, answering()) == []


@pytest.mark.parametrize(
    ("theirs", "severity"), [(100.0, None), (104.0, None), (106.0, "warning"), (94.0, "warning"), (120.0, "error")]
)
def test_clock_that_differs_is_told(theirs: float, severity: str | None) -> None:
    found = judge_clock("check", [sample(theirs)], (100.0, 100.2))
    assert [item.severity.value for item in found] == ([severity] if severity else [])


async def test_prometheus_that_does_not_answer_is_told_with_what_mends_it() -> None:
    place = a_place(ONE, prometheus=AskedPrometheus({"time()": PermanentError(Reason.AUTH, "HTTP status 401")}))
    (found,) = await found_by(check_prometheus, place)
    assert (found.severity.value, "prometheus.basic_auth" in found.remedy) == ("error", True)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.DNS, "getent hosts prom"),
        (Reason.REFUSED, "curl -si https://prom:9090/-/ready"),
        (Reason.TLS, "openssl s_client -connect prom:9090"),
        (Reason.AUTH, "prometheus.authorization"),
        (Reason.PERMISSION, "right to read"),
        (Reason.MISSING, "route prefix"),
        (Reason.TIMEOUT, "NetworkPolicy"),
    ],
)
def test_each_reason_has_its_remedy(reason: Reason, words: str) -> None:
    assert words in remedy_for("https://prom:9090", "prometheus", reason)


def test_port_follows_from_the_scheme() -> None:
    assert "-connect prom:443 " in remedy_for("https://prom", "prometheus", Reason.TLS)


async def test_query_that_is_no_promql_is_told_with_its_place() -> None:
    place = a_place(ONE, prometheus=AskedPrometheus(faults={VERIFY: "parse error"}))
    (found,) = await found_by(check_promql, place)
    assert found.problem == "policies[0] (restart-api).verify.promql is not PromQL"
    assert (found.evidence, found.severity.value) == ("parse error", "error")


async def test_exporter_that_is_not_scraped_is_one_finding() -> None:
    (found,) = await found_by(check_collectors, answering(**{FRESHNESS: ()}))
    assert "no data of the exporter" in found.problem
    assert await found_by(check_series, answering(**{FRESHNESS: (), CONDITION: ()})) == []


@pytest.mark.parametrize(
    ("check", "answers"),
    [
        (check_collectors, {FRESHNESS: (sample(ManualClock().now(), collector="api"),)}),
        (check_collectors, {FRESHNESS: (sample(1.0, collector="api"), sample(1.0, collector="postgres_canary"))}),
        (check_series, {CONDITION: ()}),
    ],
)
async def test_doctor_of_the_exporter_is_given_the_same_prometheus(check: Any, answers: dict[str, Any]) -> None:
    """Without the address it checks neither rules nor targets nor series."""
    place = replace(answering(**answers), settings=RemediatorSettings(prometheus={"url": "http://me:pw@prom:9090"}))
    for found in await found_by(check, place):
        assert found.remedy.startswith("controlcore-exporter doctor --prometheus.url http://prom:9090   # ")


async def test_collector_that_is_missing_is_told_with_its_policies_and_not_its_series() -> None:
    one = {FRESHNESS: (sample(ManualClock().now(), collector="api"),), DEPENDENCY: ()}
    (found,) = await found_by(check_collectors, answering(**one))
    assert found.evidence == "collectors postgres_canary; policies restart-api"
    assert await found_by(check_series, answering(**one)) == []


@pytest.mark.parametrize(("age", "words"), [(61.0, "not succeeded recently"), (-11.0, "clock is ahead")])
async def test_collection_that_is_old_or_in_the_future_is_told(age: float, words: str) -> None:
    now = ManualClock().now()
    samples = (sample(now - age, collector="api"), sample(now, collector="postgres_canary"))
    (found,) = await found_by(check_collectors, answering(**{FRESHNESS: samples}))
    assert (words in found.problem, found.severity.value) == (True, "error")


async def test_questions_without_an_answer_share_a_finding_when_they_lack_the_same_series() -> None:
    names = "controlcore_api_up"
    place = answering(**{CONDITION: (), VERIFY: (), f'count by (__name__) ({{__name__=~"{names}"}})': ()})
    (found,) = await found_by(check_series, place)
    assert found.evidence == f"no series of {names}"
    assert "condition of restart-api, verify of restart-api" in found.problem


async def test_question_without_an_answer_although_its_series_exist_is_shown() -> None:
    there = (sample(1.0, __name__="controlcore_api_up"),)
    place = answering(**{CONDITION: (), 'count by (__name__) ({__name__=~"controlcore_api_up"})': there})
    (found,) = await found_by(check_series, place)
    assert found.evidence == CONDITION


async def test_question_that_names_no_series_is_shown_as_well() -> None:
    policies = a_policy_set(restart_policy(verify=Query("vector(1) > 2", ("api",))))
    place = answering(**{"vector(1) > 2": ()})
    (found,) = await found_by(check_series, a_place(policies, prometheus=place.prometheus, clock=place.clock))
    assert found.evidence == "vector(1) > 2"


async def test_question_with_two_answers_must_be_aggregated() -> None:
    (found,) = await found_by(check_series, answering(**{VERIFY: (sample(1.0, pod="a"), sample(1.0, pod="b"))}))
    assert ("2 results" in found.problem, "aggregate" in found.remedy) == (True, True)


async def test_limit_of_connections_is_a_question_too() -> None:
    budget = ConnectionBudget(15, "max(limit)", ("api",))
    place = answering(**{'count by (__name__) ({__name__=~"limit"})': ()})
    policies = a_policy_set(restart_policy(connections=budget))
    (found,) = await found_by(check_series, a_place(policies, prometheus=place.prometheus, clock=place.clock))
    assert "connections.limit of restart-api" in found.problem


async def test_remediator_that_is_not_scraped_is_told() -> None:
    assert told(await found_by(check_scraped, answering(**{f"count({BUILD})": ()})))[0][0] == "warning"


@pytest.mark.parametrize(
    ("modes", "severity"),
    [
        ((Mode.OBSERVE,), "info"),
        ((Mode.OBSERVE, Mode.DRY_RUN), "warning"),
        ((Mode.DRY_RUN, Mode.APPROVE), "error"),
        ((Mode.AUTO,), "error"),
    ],
)
def test_fault_of_a_policy_that_acts_is_an_error(modes: tuple[Mode, ...], severity: str) -> None:
    assert severity_of(restart_policy(mode=mode) for mode in modes).value == severity


@pytest.mark.looptime
@pytest.mark.parametrize("check", [check_series, check_promql])
async def test_questions_without_an_answer_in_time_are_unknown(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = answering()
    prometheus = place.prometheus

    def hanging(ask: Any) -> Any:
        async def hang(promql: str, *others: float) -> Any:
            if promql in {CONDITION, VERIFY}:
                await asyncio.Event().wait()
            return await ask(promql, *others)

        return hang

    monkeypatch.setattr(prometheus, "instant", hanging(prometheus.instant))
    monkeypatch.setattr(prometheus, "find_fault", hanging(prometheus.find_fault))
    (found,) = await found_by(check, place)
    assert (found.severity.value, found.evidence.partition(" of ")[0]) == ("unknown", "2")
