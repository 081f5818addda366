"""Gathers everything that a decision needs, at the same time and under one deadline.

A question that fails or does not answer in time gives a Fact without value and with the reason; it never keeps the
others from being asked. Nothing here decides and nothing here writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from chassis.errors import BackendError, Reason
from chassis.http import Call, Response
from chassis.kubernetes import autoscalers_path, disruption_budgets_path, pods_path
from remediations.cluster import ClusterReader, deployment_location
from remediations.model import Autoscaler, Budgets, Fact, Facts, Pause, Target, Workload
from remediations.policy import Policy, PolicySet, Query, Witness, WitnessKind

T = TypeVar("T")

CLIENT_ERROR = 400
SERVER_ERROR = 500
SILENT_REASONS = frozenset({Reason.REFUSED, Reason.TIMEOUT, Reason.CLOSED, Reason.UNREACHABLE})
"""A GET that fails like this found nobody who serves. Other failures (DNS, TLS) may be our own fault: unknown."""


class Questions(Protocol):
    """What answers PromQL; remediations.prometheus.PrometheusClient, or a fake."""

    async def ask(self, query: Query) -> Fact[bool]:
        """The answer, unknown unless it is single, fresh and a number; never raises BackendError."""
        ...


class Getter(Protocol):
    """What sends a witness's GET; chassis.http.HttpClient, or a fake."""

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where facts come from. `cluster` None: no orchestrator is configured."""

    prometheus: Questions
    http: Getter
    cluster: ClusterReader | None
    timeout_seconds: float
    pause_file: Path | None = None


@dataclass(slots=True)
class _Seen:
    """What was found of the target."""

    workload: Fact[Workload]
    autoscalers: Fact[tuple[Autoscaler, ...]]
    budgets: Fact[Budgets]
    ready_pod: Fact[bool]


@dataclass(slots=True)
class _Answers:
    """Facts as they come in."""

    condition: Fact[bool]
    dependencies: dict[str, Fact[bool]] = field(default_factory=dict)
    witnesses: dict[str, Fact[bool]] = field(default_factory=dict)


async def gather_facts(sources: Sources, policy: Policy, policy_set: PolicySet, target: Target) -> Facts:
    """Every fact that the policy's guards and action may ask about, except the pauses (see `read_pauses`).

    Nothing is asked about a target that the policy does not list: its name comes from an alert.
    """
    answers = _Answers(Fact(None, policy.condition.promql, "not asked"))
    seen = _unseen("no orchestrator is configured" if sources.cluster is None else "not asked")
    is_listed = target in policy.targets
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_condition(sources, policy.condition, answers), name="fact.condition")
        for name in policy.dependencies:
            query = policy_set.dependencies[name]
            group.create_task(_ask_dependency(sources, name, query, answers), name=f"fact.dependency.{name}")
        for witness in policy.witnesses:
            if witness.kind is WitnessKind.HTTP:
                group.create_task(_ask_witness(sources, witness, answers), name=f"fact.witness.{witness.name}")
        if sources.cluster is not None and is_listed:
            needs_pods = any(witness.kind is WitnessKind.PODS_READY for witness in policy.witnesses)
            group.create_task(_ask_workload(sources, target, seen, needs_pods=needs_pods), name="fact.workload")
            group.create_task(_ask_autoscalers(sources, target, seen), name="fact.autoscalers")
    for witness in policy.witnesses:
        if witness.kind is WitnessKind.PODS_READY:
            answers.witnesses[witness.name] = _no_pod_ready(seen.ready_pod)
    return Facts(
        condition=answers.condition,
        dependencies=answers.dependencies,
        witnesses=answers.witnesses,
        workload=seen.workload,
        has_orchestrator=sources.cluster is not None,
        autoscalers=seen.autoscalers,
        budgets=seen.budgets,
    )


def read_pauses(pause_file: Path | None, pauses: Sequence[Pause]) -> tuple[Pause, ...]:
    """The pauses of the journal and the one of the pause file; blocks on the disk.

    A file that cannot be looked at counts as there: whoever put it there wants nothing to happen.
    """
    known = tuple(pauses)
    if pause_file is None:
        return known
    try:
        with pause_file.open(encoding="utf-8", errors="replace") as file:
            reason = file.readline(200).strip()
    except FileNotFoundError:
        return known
    except OSError as error:
        reason = f"cannot look at the pause file: {error.strerror}"
    return (*known, Pause("pause_file", str(pause_file), reason or "the pause file exists", None))


def _unseen(problem: str) -> _Seen:
    """Nothing known of the target, and why."""
    return _Seen(Fact(None, "", problem), Fact(None, "", problem), Fact(None, "", problem), Fact(None, "", problem))


async def bounded(source: str, timeout_seconds: float, question: Awaitable[T]) -> Fact[T]:
    """The answer as a fact; a failure or a missed deadline as a fact without value."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return Fact(await question, source)
    except TimeoutError:
        return Fact(None, source, f"no answer within {timeout_seconds:g} s")
    except BackendError as error:
        return Fact(None, source, f"{error.reason.value}: {error}")


async def asked(sources: Sources, query: Query) -> Fact[bool]:
    """A PromQL question under the deadline."""
    answer = await bounded(query.promql, sources.timeout_seconds, sources.prometheus.ask(query))
    return answer.value if answer.value is not None else Fact(None, query.promql, answer.problem)


async def _ask_condition(sources: Sources, query: Query, answers: _Answers) -> None:
    answers.condition = await asked(sources, query)


async def _ask_dependency(sources: Sources, name: str, query: Query, answers: _Answers) -> None:
    answers.dependencies[name] = await asked(sources, query)


async def _ask_witness(sources: Sources, witness: Witness, answers: _Answers) -> None:
    """A GET of our own: true when nobody serves or a 5xx comes, false for 2xx, unknown for everything else.

    A fresh connection each time: one from the pool may lead to a process that is no longer there.
    """
    timeout_seconds = min(witness.timeout_seconds, sources.timeout_seconds)
    call = Call(witness.url, timeout_seconds, headers={"Connection": "close"})
    try:
        answer = await sources.http.send(call)
    except BackendError as error:
        is_silent = error.reason in SILENT_REASONS
        answers.witnesses[witness.name] = Fact(
            True if is_silent else None, witness.url, "" if is_silent else f"{error.reason.value}: {error}"
        )
        return
    is_misread = SERVER_ERROR > answer.status >= CLIENT_ERROR - 100
    answers.witnesses[witness.name] = Fact(
        None if is_misread else answer.status >= SERVER_ERROR,
        witness.url,
        f"HTTP {answer.status}: it answers, but is this its health address?" if is_misread else "",
    )


async def _ask_workload(sources: Sources, target: Target, seen: _Seen, *, needs_pods: bool) -> None:
    """The Deployment, and then what its template and selector lead to; all within the one deadline."""
    cluster = sources.cluster
    if cluster is None:
        return
    loop = asyncio.get_running_loop()
    until = loop.time() + sources.timeout_seconds
    place = _place(target)
    document = await bounded(place, sources.timeout_seconds, cluster.deployment(target))
    if document.value is None:
        lost = _unseen(document.problem)
        seen.workload, seen.budgets, seen.ready_pod = Fact(None, place, document.problem), lost.budgets, lost.ready_pod
        return
    left = max(0.05, until - loop.time())
    async with asyncio.TaskGroup() as group:
        workload = group.create_task(
            bounded(place, left, cluster.workload(target, document.value)), name="fact.workload.template"
        )
        budgets = group.create_task(
            bounded(disruption_budgets_path(target.namespace), left, cluster.budgets(target, document.value)),
            name="fact.budgets",
        )
        if needs_pods:
            pods = group.create_task(
                bounded(pods_path(target.namespace), left, cluster.has_ready_pod(target, document.value)),
                name="fact.pods",
            )
    seen.workload, seen.budgets = workload.result(), budgets.result()
    if needs_pods:
        seen.ready_pod = pods.result()


async def _ask_autoscalers(sources: Sources, target: Target, seen: _Seen) -> None:
    if sources.cluster is None:
        return
    try:
        place = autoscalers_path(target.namespace)
    except BackendError as error:
        seen.autoscalers = Fact(None, "", f"{error.reason.value}: {error}")
        return
    seen.autoscalers = await bounded(place, sources.timeout_seconds, sources.cluster.autoscalers(target))


def _place(target: Target) -> str:
    """The target's API path for the story, or its key when it has none."""
    try:
        return deployment_location(target)
    except BackendError:
        return target.key


def _no_pod_ready(ready: Fact[bool]) -> Fact[bool]:
    """The witness `pods_ready`: confirms the fault when no pod is Ready."""
    return Fact(None if ready.value is None else not ready.value, ready.source, ready.problem)
