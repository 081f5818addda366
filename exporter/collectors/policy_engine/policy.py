"""Sends every bouncer questions with known answers, to distinguish "denied" from "the engine is broken".

A bouncer always answers 200, and denies when its policy engine fails; only the reason differs. The questions write no
row: the bouncer does not report its decisions to the control plane's database.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError, Reason, TransientError
from chassis.http.call import Call
from exporter.collector import CollectorSettings, NotConfiguredError, Result, collector
from exporter.collectors.policy_engine.canary_answers import (
    Calibration,
    CanaryAnswer,
    CanaryFinding,
    CanaryQuestion,
    ProbeResult,
    are_engines_up,
    percentile_95,
    read_answer,
)
from exporter.collectors.policy_engine.opa_page import STAGES, read_stages
from exporter.collectors.policy_engine.turns import Turns
from exporter.metrics import FAST_BUCKETS, Counter, Histogram, Kind, Metric, Stability
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from exporter.settings import BouncerTarget
    from exporter.sources.sources import Sources

COMPONENT = "policy_engine"
WINDOW_SECONDS = 60.0
FRESH_CONNECTION = {"Connection": "close"}
"""A kept connection would always reach the same replica behind a Service, and its end would be a false alarm."""

BOUNCER_UP = Metric(
    "controlcore_bouncer_up",
    "Whether the bouncer's /health answered; also 0 while a discovered bouncer is gone.",
    labels=("bouncer", "policy_environment"),
)
PROBE_DURATION = Metric(
    "controlcore_policy_probe_duration_seconds",
    "Duration of a canary question; a question without an answer counts as its deadline.",
    Kind.HISTOGRAM,
    labels=("bouncer",),
    unit="seconds",
    buckets=FAST_BUCKETS,
)
PROBE_SUCCESS = Metric(
    "controlcore_policy_probe_success",
    "Whether every canary question was answered as expected; absent while the engine has no policy to answer from.",
    labels=("bouncer",),
)
PROBE_RESULTS = Metric(
    "controlcore_policy_probe_results_total",
    "Canary questions, by result.",
    Kind.COUNTER,
    labels=("bouncer", "result"),
)
MISMATCHES = Metric(
    "controlcore_policy_probe_mismatches_total",
    "Canary questions that were allowed but should have been denied, or the reverse.",
    Kind.COUNTER,
    labels=("bouncer",),
)
ENGINE_UP = Metric(
    "controlcore_policy_engine_up",
    "Whether the bouncer's policy engine decided every canary question; absent when the bouncer cannot be "
    "queried, and before the first decision while the engine has no policy.",
    labels=("bouncer",),
)
CALIBRATED = Metric(
    "controlcore_policy_probe_calibrated",
    "Whether the canary asks a question that must be allowed (1). At 0 the product has no rule for one, so "
    "only denials and the engine are checked.",
    labels=("bouncer",),
)
STAGE_SECONDS = Metric(
    "controlcore_policy_probe_stage_seconds_total",
    "Time that the OPA spent on our own questions, by stage; server_handler is the total.",
    Kind.COUNTER,
    labels=("bouncer", "stage"),
    unit="seconds",
)
STAGE_PROBES = Metric(
    "controlcore_policy_probe_stage_answers_total",
    "Answers of the OPA whose times by stage were counted.",
    Kind.COUNTER,
    labels=("bouncer",),
)
GUIDE_DURATION = Metric(
    "policy_evaluation_duration_seconds",
    "95th percentile of the canary questions of the last 60 seconds (name of the DevOps guide).",
    unit="seconds",
    stability=Stability.GUIDE,
)


DEFAULT_QUESTIONS = (
    CanaryQuestion(user="canary-allow", expected="calibrated"),
    CanaryQuestion(user="canary-deny", expected="deny"),
)
"""They need no rule in the product. If a rule allows the first one, its answer also shows lost policies."""


class PolicySettings(CollectorSettings):
    """Which questions are sent, and their deadlines."""

    interval_seconds: float = Field(default=10.0, gt=0)
    """Seconds between two rounds. The p95 is taken over 60 s: much larger leaves it few samples."""
    timeout_seconds: float = Field(default=10.0, gt=1.0)
    """Deadline of a round. Bouncers not queried half a second before it stay unknown in that round."""
    question_timeout_seconds: float = Field(default=3.0, gt=1.0)
    """Deadline of one question, and its duration without an answer. It must be above 1 s, because the guide's alert is
    `> 1`. Above 5 s the bouncer's own deadline ends first, and a hanging engine is reported as engine_error instead of
    timeout.
    """
    health_timeout_seconds: float = Field(default=2.0, gt=0)
    """Deadline of a bouncer's /health, which it answers from memory. Too small reports a busy bouncer as down."""
    max_concurrent: int = Field(default=16, ge=1, le=24)
    """Requests in flight over all bouncers. With 1, a hanging bouncer delays the others; too many exceed the HTTP pool
    (32 connections for all collectors), and the duration then includes our own queue."""
    questions: tuple[CanaryQuestion, ...] = Field(default=DEFAULT_QUESTIONS, min_length=1, max_length=16)
    """The questions for every bouncer. The default needs no rule in the product's policies; a question that expects
    `allow` needs one, or each round has a mismatch. With only allow questions, an engine that allows everything looks
    healthy.
    """
    opa_path: str = Field(default="/v1/data/enabled", pattern="^/v1/data/")
    """Document that is requested from each OPA with an `opa_url`, with `metrics=true`, to measure its stages: the same
    document that the bouncers request.
    """


@collector(
    scope=Scope.DEPLOYMENT,
    settings=PolicySettings,
    metrics=(
        BOUNCER_UP,
        ENGINE_UP,
        PROBE_SUCCESS,
        CALIBRATED,
        MISMATCHES,
        PROBE_RESULTS,
        PROBE_DURATION,
        STAGE_SECONDS,
        STAGE_PROBES,
        GUIDE_DURATION,
    ),
    always=(
        BOUNCER_UP.name,
        PROBE_DURATION.name,
        PROBE_RESULTS.name,
        MISMATCHES.name,
        STAGE_SECONDS.name,
        STAGE_PROBES.name,
    ),
)
class PolicyCollector:
    """Sends each bouncer GET /health and POST /api/v1/authorize; one that is down is a finding, not a failure."""

    def __init__(self, settings: PolicySettings, sources: Sources) -> None:
        self._settings = settings
        self._bouncers = bouncers = sources.settings.bouncers
        self._http = sources.http
        self._clock = sources.clock
        self._places = asyncio.Semaphore(settings.max_concurrent)
        self._calibrations = {
            bouncer.name: sources.kept.of(Calibration, "policy.calibration", bouncer.name) for bouncer in bouncers
        }
        self._recent: deque[tuple[float, float]] = deque()
        names = [bouncer.name for bouncer in bouncers]
        self._vanished = tuple(bouncer for bouncer in sources.vanished if bouncer.name not in names)
        self._durations = Histogram(PROBE_DURATION).initialise((name,) for name in names)
        self._results = Counter(PROBE_RESULTS).initialise((name, result) for name in names for result in ProbeResult)
        self._mismatches = Counter(MISMATCHES).initialise((name,) for name in names)
        engines = [bouncer.name for bouncer in bouncers if bouncer.opa_url is not None]
        self._stages = Counter(STAGE_SECONDS).initialise((name, stage) for name in engines for stage in STAGES.values())
        self._stage_probes = Counter(STAGE_PROBES).initialise((name,) for name in engines)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: PolicySettings, sources: Sources) -> AsyncIterator[PolicyCollector]:
        """Yields the collector; raises NotConfiguredError when no bouncer is configured."""
        if not sources.settings.bouncers and not sources.vanished:
            raise NotConfiguredError("no bouncer is configured: set bouncers")
        yield cls(settings, sources)

    async def collect(self) -> Result:
        """Queries all bouncers concurrently; those not queried in time are absent, and the round then fails."""
        findings: dict[str, CanaryFinding] = {}
        try:
            async with asyncio.timeout(self._settings.timeout_seconds - 0.5), asyncio.TaskGroup() as group:
                for bouncer in self._bouncers:
                    group.create_task(self._examine(bouncer, findings), name=f"policy.{bouncer.name}")
        except TimeoutError:
            missing = len(self._bouncers) - len(findings)
            failure = TransientError(Reason.TIMEOUT, f"{missing} bouncers were not queried before the deadline")
            return self._publish(findings, failure)
        return self._publish(findings, None)

    async def _examine(self, bouncer: BouncerTarget, findings: dict[str, CanaryFinding]) -> None:
        """Sends one bouncer all its requests, one after another, and records the finding."""
        turns = Turns()
        async with asyncio.TaskGroup() as group:
            health = group.create_task(turns.take(self._is_up, bouncer), name=f"policy.{bouncer.name}.health")
            asked = [
                group.create_task(turns.take(self._ask, bouncer, question), name=f"policy.{bouncer.name}.question")
                for question in self._settings.questions
            ]
            if bouncer.opa_url is not None:
                group.create_task(
                    turns.take(self._time_stages, bouncer.name, bouncer.opa_url), name=f"policy.{bouncer.name}.stages"
                )
        finding = CanaryFinding(health.result(), tuple(task.result() for task in asked))
        findings[bouncer.name] = self._calibrations[bouncer.name].judge(finding)

    async def _is_up(self, bouncer: BouncerTarget) -> bool:
        """Whether GET /health answered 2xx in time."""
        url = f"{bouncer.url.rstrip('/')}/health"
        try:
            async with self._places:
                response = await self._http.send(
                    Call(url, self._settings.health_timeout_seconds, headers=FRESH_CONNECTION)
                )
            response.require_ok()
        except BackendError:
            return False
        return True

    async def _ask(self, bouncer: BouncerTarget, question: CanaryQuestion) -> CanaryAnswer:
        """Sends one question; every outcome counts as an answer."""
        deadline = self._settings.question_timeout_seconds
        url = f"{bouncer.url.rstrip('/')}/api/v1/authorize"
        call = Call(url, deadline, method="POST", headers=FRESH_CONNECTION, json=question.body())
        try:
            async with self._places:
                response = await self._http.send(call)
        except BackendError as error:
            if error.reason is Reason.TIMEOUT:
                return CanaryAnswer(question, ProbeResult.TIMEOUT, deadline)
            is_garbled = error.reason in {Reason.MALFORMED, Reason.PROTOCOL}
            return CanaryAnswer(question, ProbeResult.MALFORMED if is_garbled else ProbeResult.UNREACHABLE, None)
        return CanaryAnswer(question, read_answer(response), response.seconds)

    async def _time_stages(self, name: str, opa_url: str) -> None:
        """Sends the OPA itself the first question and adds its times by stage; without an answer it adds nothing."""
        url = f"{opa_url}{self._settings.opa_path}"
        body = {"input": self._settings.questions[0].body()}
        deadline = self._settings.question_timeout_seconds
        try:
            async with self._places:
                answer = await self._http.send(
                    Call(url, deadline, method="POST", json=body, params={"metrics": "true"})
                )
            stages = read_stages(answer.require_ok().json())
        except BackendError:
            return
        for stage, seconds in stages.items():
            self._stages.add((name, stage), seconds)
        if stages:
            self._stage_probes.add((name,))

    def _publish(self, findings: Mapping[str, CanaryFinding], failure: Exception | None) -> Result:
        """Counts a round and makes its families."""
        now = self._clock.monotonic()
        for name, finding in findings.items():
            self._count(name, finding, now)
        while self._recent and self._recent[0][0] <= now - WINDOW_SECONDS:
            self._recent.popleft()
        environments = {bouncer.name: bouncer.environment for bouncer in self._bouncers}
        states = {(name, environments[name]): finding.is_up for name, finding in findings.items()}
        states |= {(bouncer.name, bouncer.environment): False for bouncer in self._vanished}
        engines = {(name,): finding.is_engine_up for name, finding in findings.items()}
        successes = {(name,): finding.is_success for name, finding in findings.items()}
        families = (
            BOUNCER_UP.family(states),
            self._durations.family(),
            PROBE_SUCCESS.family({labels: state for labels, state in successes.items() if state is not None}),
            CALIBRATED.family({(name,): self._is_calibrated(name) for name in findings}),
            self._results.family(),
            self._mismatches.family(),
            ENGINE_UP.family({labels: state for labels, state in engines.items() if state is not None}),
            self._stages.family(),
            self._stage_probes.family(),
            GUIDE_DURATION.value(percentile_95(seconds for _, seconds in self._recent)),
        )
        is_up = are_engines_up(findings.values())
        is_known = is_up is False or (is_up is True and failure is None)
        return Result(families, {COMPONENT: bool(is_up)} if is_known else {}, failure)

    def _is_calibrated(self, name: str) -> bool:
        """Whether some question must be allowed by this bouncer."""
        is_asked = any(question.expected == "allow" for question in self._settings.questions)
        return is_asked or bool(self._calibrations[name].allowed)

    def _count(self, name: str, finding: CanaryFinding, now: float) -> None:
        """Adds one bouncer's answers to counters, histogram and window."""
        for answer in finding.answers:
            self._results.add((name, answer.result))
            if answer.is_mismatch:
                self._mismatches.add((name,))
            if answer.seconds is not None:
                self._durations.observe(answer.seconds, (name,))
                self._recent.append((now, answer.seconds))
