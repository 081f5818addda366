"""Findings from the answers of bouncers, collectors and clocks."""

from __future__ import annotations

import json
import shlex
from collections import Counter

import pytest

from chassis.errors import Reason
from chassis.http.call import Response
from chassis.output.findings import Severity
from exporter.collectors.policy_engine.canary_answers import ProbeResult
from exporter.commands.doctor.clocks import ClockReading, check_api, find_skew
from exporter.commands.doctor.collectors import find_failures, find_losses
from exporter.commands.doctor.engines import find_parity, judge
from exporter.commands.doctor.installation import CheckedInstallation
from exporter.items import Loss, Losses
from exporter.results.limits import Admitted
from exporter.results.record import CollectionOutcome
from exporter.settings import BouncerTarget, ExporterSettings
from tests.fakes.collector import ScriptedCollector
from tests.fakes.sources import FakeHttp, make_sources

BOUNCER = BouncerTarget(name="b1", url="http://bouncer:8080")
SPECS = {name: ScriptedCollector([]).spec(name) for name in ("lamp", "door", "bell")}


@pytest.mark.parametrize(
    ("answers", "is_mismatch", "is_calibrated", "severity", "words"),
    [
        ({ProbeResult.ALLOW, ProbeResult.DENY}, False, True, None, ""),
        ({ProbeResult.DENY}, False, False, Severity.INFO, "only denials"),
        ({ProbeResult.ALLOW}, True, True, Severity.ERROR, "wrongly"),
        ({ProbeResult.NO_POLICY}, False, False, Severity.WARNING, "has no policy"),
        ({ProbeResult.DENY, ProbeResult.UNDEFINED}, False, True, Severity.WARNING, "has no policy"),
        ({ProbeResult.ENGINE_ERROR, ProbeResult.NO_POLICY}, False, False, Severity.ERROR, "engine fails"),
        ({ProbeResult.TIMEOUT}, False, False, Severity.ERROR, "decides no canary question: it does not answer in time"),
        ({ProbeResult.TIMEOUT, ProbeResult.ALLOW}, False, True, Severity.ERROR, "leaves canary questions undecided"),
        (set(), False, False, None, ""),
    ],
)
def test_answers_of_a_bouncer(
    *, answers: set[ProbeResult], is_mismatch: bool, is_calibrated: bool, severity: Severity | None, words: str
) -> None:
    found = judge(BOUNCER, answers, "c", "{}", is_mismatch=is_mismatch, is_calibrated=is_calibrated)
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert all(words in each.problem for each in found)


def test_question_is_one_word_for_the_shell() -> None:
    question = json.dumps({"user": "O'Brien"})
    (finding,) = judge(BOUNCER, {ProbeResult.TIMEOUT}, "c", question, is_mismatch=False, is_calibrated=True)
    assert shlex.split(finding.remedy)[-1] == question


async def test_clock_that_an_api_does_not_show_is_unknown() -> None:
    settings = ExporterSettings(api={"url": "http://api:8000"})
    sources = make_sources(settings, http=FakeHttp({"http://api:8000/health": Response(200, b"", 0.0)}))
    (finding,) = await check_api(CheckedInstallation(settings, (), sources), "c")
    assert finding.severity is Severity.UNKNOWN


def test_parity_that_is_not_measured_is_told() -> None:
    unnamed, without = find_parity(["b1"], ["b2"], "p")
    assert (unnamed.severity, "module_pattern" in unnamed.remedy) == (Severity.WARNING, True)
    assert (without.severity, "bouncers[].opa_url" in without.remedy) == (Severity.INFO, True)


def outcome(name: str, reason: Reason | None, message: str = "", **more: object) -> CollectionOutcome:
    return CollectionOutcome(name, 0.0, 0.0, 0.1, reason=reason, message=message, **more)  # type: ignore[arg-type]


def test_collectors_that_fail_for_one_reason_are_one_finding() -> None:
    outcomes = {
        "lamp": outcome("lamp", Reason.TIMEOUT, "no answer"),
        "door": outcome("door", Reason.TIMEOUT, "no answer"),
        "bell": outcome("bell", None),
    }
    (finding,) = find_failures(outcomes, SPECS, "c")
    assert finding.problem == "collectors fail (timeout): door, lamp"
    assert "collectors.door.timeout_seconds" in finding.remedy


def test_what_is_read_and_not_published_is_told() -> None:
    losses = Losses(Counter({Loss.MALFORMED: 2}), Counter({"peps.status": 1}))
    outcomes = {
        "lamp": outcome("lamp", None, losses=losses),
        "door": outcome("door", None, admitted=Admitted((), dropped=3)),
    }
    door, lamp = find_losses(outcomes, "v")
    assert door.evidence == "3 series dropped"
    assert lamp.evidence == "dropped items, malformed: 2\nunknown value of peps.status: 1"


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (ClockReading(100.0, 100.5, 101.0), None),
        (ClockReading(100.0, 104.0, 101.0), None),
        (ClockReading(100.0, 111.0, 101.0), "10.0 s ahead"),
        (ClockReading(100.0, 80.0, 101.0), "20.0 s behind"),
        (ClockReading(100.0, 94.5, 101.0, 1.0), None),
        (ClockReading(100.0, 125.0, 130.0), None),
    ],
)
def test_clock_is_wrong_only_as_far_as_it_is_certain(reading: ClockReading, words: str | None) -> None:
    assert [words in each.evidence for each in find_skew("it", reading, "c") if words] == ([True] if words else [])
    assert bool(find_skew("it", reading, "c")) is bool(words)
    assert not any("makestep" in each.remedy for each in find_skew("it", reading, "c"))
