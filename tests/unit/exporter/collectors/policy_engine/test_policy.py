from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pydantic import ValidationError

from chassis.errors import Reason, TransientError
from chassis.http.call import Response
from exporter.collector import NotConfiguredError
from exporter.collectors.policy_engine.policy import PolicyCollector, PolicySettings
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.clock import ManualClock
from tests.fakes.sources import FakeHttp, expose, golden, make_sources, samples, value

HEALTHY = Response(200, b'{"status":"healthy"}', 0.001)
UP, ENGINE = "controlcore_bouncer_up", "controlcore_policy_engine_up"
SUCCESS, RESULTS = "controlcore_policy_probe_success", "controlcore_policy_probe_results_total"
MISMATCHES, GUIDE = "controlcore_policy_probe_mismatches_total", "policy_evaluation_duration_seconds"


def decide(call):
    is_allowed = call.json["user"]["id"] == "canary-allow"
    body = b'{"allow":true,"reason":"ok"}' if is_allowed else b'{"allow":false,"reason":"Access denied by policy"}'
    return Response(200, body, 0.004 if is_allowed else 0.006)


def say(reason):
    return Response(200, b'{"allow":false,"reason":"%s"}' % reason, 0.002)


class Bouncers:
    """Two bouncers whose answers can be replaced."""

    def __init__(self, **settings) -> None:
        self.http = FakeHttp({})
        self.clock = ManualClock()
        targets = (
            BouncerTarget(name="b-production", url="http://production:8080/"),
            BouncerTarget(name="b-sandbox", url="http://sandbox:8080", environment="sandbox"),
        )
        for place in ("production", "sandbox"):
            self.set(place, HEALTHY, decide)
        self.sources = make_sources(ExporterSettings(bouncers=targets), http=self.http, clock=self.clock)
        self.settings = PolicySettings(**settings)
        self.reload()

    def reload(self):
        self.collector = PolicyCollector(self.settings, self.sources)

    def set(self, place, health, authorize):
        base = f"http://{place}:8080"
        self.http.answers |= {f"{base}/health": health, f"{base}/api/v1/authorize": authorize}


async def test_deciding_bouncers_give_the_golden_page():
    result = await Bouncers().collector.collect()
    assert expose(result.families) == golden("policy")
    assert (result.components, result.failure) == ({"policy_engine": True}, None)


DENIED, UNDEFINED = say(b"Access denied by policy"), say(b"No policy result (undefined) - default deny")
CALIBRATED = "controlcore_policy_probe_calibrated"


async def test_product_without_a_rule_for_the_canary_is_well():
    """P3: both questions are always denied."""
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, DENIED)
    for _ in range(3):
        result = await bouncers.collector.collect()
    assert value(result.families, SUCCESS, "b-production") == 1
    assert value(result.families, ENGINE, "b-production") == 1
    assert value(result.families, MISMATCHES, "b-production") == 0
    assert value(result.families, CALIBRATED, "b-production") == 0
    assert value(result.families, CALIBRATED, "b-sandbox") == 1


async def test_bouncer_that_vanished_is_down_and_not_asked():
    """P4: also when it was the only one."""
    gone = BouncerTarget(name="b-gone", url="http://10.0.0.1:8080", environment="sandbox")
    async with PolicyCollector.open(PolicySettings(), make_sources(vanished=(gone,))) as collector:
        result = await collector.collect()
    assert samples(result.families)[UP] == {("b-gone", "sandbox"): 0}
    assert value(result.families, SUCCESS, "b-gone") is None
    assert (result.components, result.failure) == ({}, None)


async def test_bouncer_that_vanished_and_is_watched_again_has_its_finding_alone():
    """P4, the other way: it answers, in whichever environment it was before."""
    bouncers = Bouncers()
    gone = tuple(BouncerTarget(name="b-production", url="http://10.0.0.1:8080", environment=environment)
                 for environment in ("sandbox", "production"))  # fmt: skip
    bouncers.sources = replace(bouncers.sources, vanished=gone)
    bouncers.reload()
    result = await bouncers.collector.collect()
    assert samples(result.families)[UP] == {("b-production", "production"): 1, ("b-sandbox", "sandbox"): 1}


@pytest.mark.parametrize("lost", [DENIED, UNDEFINED])
async def test_lost_policies_are_told_after_a_reload_too(lost):
    """P3, P4: a new or removed bouncer restarts the collectors, and a firing alert must not resolve because of that."""
    bouncers = Bouncers()
    await bouncers.collector.collect()
    bouncers.set("production", HEALTHY, lost)
    for _ in range(2):
        result = await bouncers.collector.collect()
        assert value(result.families, SUCCESS, "b-production") == 0
        bouncers.reload()


async def test_question_that_was_allowed_once_has_to_be_allowed():
    """P3: from its first allowed answer on the rule is known to be there."""
    bouncers = Bouncers()
    await bouncers.collector.collect()
    bouncers.set("production", HEALTHY, DENIED)
    result = await bouncers.collector.collect()
    assert value(result.families, SUCCESS, "b-production") == 0
    assert value(result.families, MISMATCHES, "b-production") == 1


async def test_engine_that_allows_everything_does_not_become_the_measure():
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, Response(200, b'{"allow":true,"reason":"ok"}', 0.001))
    assert value((await bouncers.collector.collect()).families, SUCCESS, "b-production") == 0
    bouncers.set("production", HEALTHY, DENIED)
    assert value((await bouncers.collector.collect()).families, SUCCESS, "b-production") == 1


async def test_fresh_installation_without_policies_is_unknown_and_no_fault():
    """P3: the engine has no policy to answer from; once it had one, the same answer is a fault."""
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, UNDEFINED)
    result = await bouncers.collector.collect()
    assert value(result.families, SUCCESS, "b-production") is None
    assert value(result.families, ENGINE, "b-production") is None
    assert value(result.families, RESULTS, "b-production", "no_policy") == 2
    assert result.components == {}


@pytest.mark.parametrize(
    ("authorize", "label"),
    [
        (say(b"OPA evaluation failed: refused"), "engine_error"),
        (say(b"No policy result (undefined) - default deny"), "undefined"),
        (TransientError(Reason.TIMEOUT, "no answer"), "timeout"),
    ],
)
async def test_engine_that_does_not_decide_is_down_though_its_bouncer_is_up(authorize, label):
    bouncers = Bouncers()
    await bouncers.collector.collect()
    bouncers.set("production", HEALTHY, authorize)
    result = await bouncers.collector.collect()
    assert value(result.families, UP, "b-production", "production") == 1
    assert value(result.families, ENGINE, "b-production") == 0
    assert value(result.families, SUCCESS, "b-production") == 0
    assert value(result.families, RESULTS, "b-production", label) == 2
    assert value(result.families, MISMATCHES, "b-production") == 0
    assert value(result.families, ENGINE, "b-sandbox") == 1
    assert result.components == {"policy_engine": False}


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.DNS, Reason.CLOSED, Reason.UNREACHABLE, Reason.TLS])
async def test_bouncer_that_cannot_be_reached_leaves_its_engine_unknown(reason):
    bouncers = Bouncers()
    error = TransientError(reason, "away")
    bouncers.set("production", error, error)
    result = await bouncers.collector.collect()
    assert value(result.families, UP, "b-production", "production") == 0
    assert value(result.families, RESULTS, "b-production", "unreachable") == 2
    assert value(result.families, ENGINE, "b-production") is None
    assert result.components == {}
    assert result.failure is None


async def test_bouncer_that_hangs_as_a_whole_does_not_speak_against_its_engine():
    bouncers = Bouncers()
    error = TransientError(Reason.TIMEOUT, "no answer")
    bouncers.set("production", error, error)
    result = await bouncers.collector.collect()
    assert value(result.families, ENGINE, "b-production") is None
    assert value(result.families, RESULTS, "b-production", "timeout") == 2


async def test_wrong_decision_is_a_mismatch_and_the_engine_still_up():
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, Response(200, b'{"allow":true,"reason":"ok"}', 0.002))
    result = await bouncers.collector.collect()
    assert value(result.families, MISMATCHES, "b-production") == 1
    assert value(result.families, SUCCESS, "b-production") == 0
    assert value(result.families, ENGINE, "b-production") == 1


async def test_answer_that_is_no_answer_is_malformed():
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, Response(404, b"404 page not found", 0.001))
    result = await bouncers.collector.collect()
    assert value(result.families, RESULTS, "b-production", "malformed") == 2
    assert value(result.families, ENGINE, "b-production") is None


async def test_timeouts_count_with_their_deadline_so_that_the_guides_alert_can_fire():
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, TransientError(Reason.TIMEOUT, "no answer"))
    result = await bouncers.collector.collect()
    assert value(result.families, GUIDE) == PolicySettings().question_timeout_seconds > 1
    assert 'controlcore_policy_probe_duration_seconds_sum{bouncer="b-production"} 6.0\n' in expose(result.families)


async def test_slow_answers_leave_the_guides_gauge_after_a_minute():
    bouncers = Bouncers()
    bouncers.set("production", HEALTHY, Response(200, b'{"allow":true}', 2.0))
    await bouncers.collector.collect()
    bouncers.set("production", HEALTHY, decide)
    await bouncers.clock.advance(59)
    assert value((await bouncers.collector.collect()).families, GUIDE) == 2.0
    await bouncers.clock.advance(1)
    assert value((await bouncers.collector.collect()).families, GUIDE) == 0.006


async def test_guides_gauge_is_absent_without_any_answer():
    bouncers = Bouncers()
    error = TransientError(Reason.REFUSED, "away")
    for place in ("production", "sandbox"):
        bouncers.set(place, error, error)
    assert GUIDE not in samples((await bouncers.collector.collect()).families)


async def test_requests_in_flight_stay_within_the_limit():
    class CountingHttp(FakeHttp):
        in_flight = most = 0

        async def send(self, call):
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
            await asyncio.sleep(0)
            self.in_flight -= 1
            return HEALTHY if call.url.endswith("/health") else decide(call)

    bouncers = Bouncers(max_concurrent=2)
    bouncers.collector._http = http = CountingHttp({})
    await bouncers.collector.collect()
    assert http.most == 2


async def test_bouncers_not_asked_in_time_are_absent_and_fail_the_round():
    class FrozenSandbox(FakeHttp):
        async def send(self, call):
            if "sandbox" in call.url:
                await asyncio.Event().wait()
            return await super().send(call)

    bouncers = Bouncers(timeout_seconds=1.1)
    answers = bouncers.http.answers
    bouncers.collector._http = FrozenSandbox(answers)
    result = await bouncers.collector.collect()
    assert samples(result.families)[UP] == {("b-production", "production"): 1.0}
    assert result.components == {}
    assert result.failure.reason is Reason.TIMEOUT


def test_question_deadline_at_which_the_guides_alert_could_not_fire_is_refused():
    with pytest.raises(ValidationError):
        PolicySettings(question_timeout_seconds=1.0)


STAGES, STAGE_ANSWERS = (
    "controlcore_policy_probe_stage_seconds_total",
    "controlcore_policy_probe_stage_answers_total",
)


async def collect_with_engine(answer):
    http = FakeHttp(
        {"http://b:1/health": HEALTHY, "http://b:1/api/v1/authorize": decide, "http://o:2/v1/data/enabled": answer}
    )
    settings = ExporterSettings(bouncers=(BouncerTarget(name="b", url="http://b:1", opa_url="http://o:2"),))
    async with PolicyCollector.open(PolicySettings(), make_sources(settings, http=http)) as collector:
        return await collector.collect(), http


async def test_stages_of_the_engine_are_added_up_and_its_answer_is_no_probe():
    timers = b'{"metrics":{"timer_rego_query_eval_ns":2000000,"timer_server_handler_ns":3000000},"result":false}'
    result, http = await collect_with_engine(Response(200, timers, 0.004))
    assert value(result.families, STAGES, "b", "query_eval") == 0.002
    assert value(result.families, STAGES, "b", "server_handler") == 0.003
    assert value(result.families, STAGES, "b", "query_parse") == 0
    assert value(result.families, STAGE_ANSWERS, "b") == 1
    assert sum(samples(result.families)[RESULTS].values()) == 2
    asked = next(call for call in http.calls if call.url.startswith("http://o:2"))
    assert (asked.params, asked.json["input"]["user"]) == ({"metrics": "true"}, {"id": "canary-allow"})


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b'{"result":true}', 0.004),
        Response(200, b"<html>", 0.004),
        Response(500, b"{}", 0.004),
        TransientError(Reason.TIMEOUT, "no answer"),
    ],
)
async def test_engine_that_tells_no_stages_leaves_them_at_zero_and_the_round_whole(answer):
    result, _ = await collect_with_engine(answer)
    assert set(samples(result.families)[STAGES].values()) == {0.0}
    assert value(result.families, STAGE_ANSWERS, "b") == 0
    assert (result.components, result.failure) == ({"policy_engine": True}, None)


async def test_no_bouncer_is_not_configured():
    with pytest.raises(NotConfiguredError):
        async with PolicyCollector.open(PolicySettings(), make_sources()):
            pass


async def test_opened_collector_asks_the_configured_bouncers():
    http = FakeHttp({"http://b:1/health": HEALTHY, "http://b:1/api/v1/authorize": decide})
    settings = ExporterSettings(bouncers=(BouncerTarget(name="b", url="http://b:1"),))
    async with PolicyCollector.open(PolicySettings(), make_sources(settings, http=http)) as collector:
        assert (await collector.collect()).components == {"policy_engine": True}
