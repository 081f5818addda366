"""Gathers everything that a decision needs, at the same time and under one deadline.

A question that fails or does not answer in time gives a Fact without value and with the reason; it never keeps the
others from being asked. Nothing here decides and nothing here writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chassis.errors import BackendError, Reason
from chassis.http import Call, Response
from chassis.kubernetes import JsonObject, autoscalers_path, disruption_budgets_path, pods_path
from remediations.circumstances import Change, Pods, Template
from remediations.cluster import ClusterReader, deployment_location
from remediations.limits import ConnectionBudget, CustomGuard
from remediations.model import Alert, Fact, Facts, Pause, Target
from remediations.policy import Policy, PolicySet, Query, Witness, WitnessKind
from remediations.template import references
from remediations.workload import Autoscaler, Budgets, Workload

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

    async def measure(self, query: Query) -> Fact[float]:
        """The number, unknown unless it is single and fresh; never raises BackendError."""
        ...

    async def has_samples(self, guard: CustomGuard) -> Fact[bool]:
        """Whether the guard's query has a sample, unknown unless its data is fresh; never raises BackendError."""
        ...


class Muting(Protocol):
    """What knows which alerts people do not want to hear of; remediations.alertmanager.Alertmanager, or a fake."""

    url: str

    async def mutes(self, alert: Alert) -> tuple[str, ...]:
        """What silences, inhibits or mutes the alert now; raises BackendError."""
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
    alertmanager: Muting | None = None
    """None: no Alertmanager is configured, so nobody can have silenced anything."""


@dataclass(slots=True)
class _Seen:
    """What was found of the target."""

    workload: Fact[Workload]
    autoscalers: Fact[tuple[Autoscaler, ...]]
    budgets: Fact[Budgets]
    ready_pod: Fact[bool]
    changes: Fact[tuple[Change, ...]]
    template: Fact[Template]
    pods: Fact[Pods]


@dataclass(slots=True)
class _Answers:
    """Facts as they come in."""

    condition: Fact[bool]
    dependencies: dict[str, Fact[bool]] = field(default_factory=dict)
    witnesses: dict[str, Fact[bool]] = field(default_factory=dict)
    mutes: Fact[tuple[str, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    connection_limit: Fact[float] = field(default_factory=lambda: Fact(None, "", "not asked"))
    locks: dict[str, Fact[bool]] = field(default_factory=dict)
    custom: dict[str, Fact[bool]] = field(default_factory=dict)


async def gather_facts(
    sources: Sources, policy: Policy, policy_set: PolicySet, target: Target, alert: Alert | None = None
) -> Facts:
    """Every fact that the policy's guards and action may ask about, except the pauses and our own start.

    Nothing is asked about a target that the policy does not list: its name comes from an alert.
    """
    answers = _Answers(Fact(None, policy.condition.promql, "not asked"))
    seen = _unseen("no orchestrator is configured" if sources.cluster is None else "not asked")
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_condition(sources, policy.condition, answers), name="fact.condition")
        group.create_task(_ask_queries(sources, policy, policy_set, answers), name="fact.queries")
        if alert is not None:
            group.create_task(_ask_mutes(sources, alert, answers), name="fact.mutes")
        for witness in policy.witnesses:
            if witness.kind is WitnessKind.HTTP:
                group.create_task(_ask_witness(sources, witness, answers), name=f"fact.witness.{witness.name}")
        if sources.cluster is not None and _is_listed(policy, target):
            group.create_task(_ask_workload(sources, target, seen, policy), name="fact.workload")
            group.create_task(_ask_autoscalers(sources, target, seen), name="fact.autoscalers")
    for witness in policy.witnesses:
        if witness.kind is WitnessKind.PODS_READY:
            answers.witnesses[witness.name] = _no_pod_ready(seen.ready_pod)
    return _facts(answers, seen, has_orchestrator=sources.cluster is not None)


def _is_listed(policy: Policy, target: Target) -> bool:
    """Whether the policy, or a rung of its ladder, lists the target."""
    return target in policy.targets or any(target in rung.targets for rung in policy.ladder)


def _facts(answers: _Answers, seen: _Seen, *, has_orchestrator: bool) -> Facts:
    """What came in, as one value."""
    return Facts(
        condition=answers.condition,
        dependencies=answers.dependencies,
        witnesses=answers.witnesses,
        workload=seen.workload,
        has_orchestrator=has_orchestrator,
        autoscalers=seen.autoscalers,
        budgets=seen.budgets,
        mutes=answers.mutes,
        changes=seen.changes,
        template=seen.template,
        pods=seen.pods,
        connection_limit=answers.connection_limit,
        locks=answers.locks,
        custom=answers.custom,
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
    lost: Fact[Any] = Fact(None, "", problem)
    return _Seen(*[lost] * len(fields(_Seen)))


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


async def _ask_queries(sources: Sources, policy: Policy, policy_set: PolicySet, answers: _Answers) -> None:
    """Everything else that Prometheus is asked, at the same time."""

    async def keep(place: dict[str, Fact[bool]], name: str, query: Query) -> None:
        place[name] = await asked(sources, query)

    async with asyncio.TaskGroup() as group:
        for name in policy.dependencies:
            query = policy_set.dependencies[name]
            group.create_task(keep(answers.dependencies, name, query), name=f"fact.dependency.{name}")
        for name, query in policy_set.locks.items():
            group.create_task(keep(answers.locks, name, query), name=f"fact.lock.{name}")
        for guard in policy.guards:
            group.create_task(_ask_custom(sources, guard, answers), name=f"fact.custom.{guard.name}")
        if policy.connections is not None:
            group.create_task(_ask_limit(sources, policy.connections, answers), name="fact.connection_limit")


async def _ask_custom(sources: Sources, guard: CustomGuard, answers: _Answers) -> None:
    answer = await bounded(guard.promql, sources.timeout_seconds, sources.prometheus.has_samples(guard))
    answers.custom[guard.name] = answer.value or Fact(None, guard.promql, answer.problem)


async def _ask_limit(sources: Sources, budget: ConnectionBudget, answers: _Answers) -> None:
    query = Query(budget.limit, budget.collectors, budget.max_age_seconds)
    answer = await bounded(budget.limit, sources.timeout_seconds, sources.prometheus.measure(query))
    answers.connection_limit = answer.value or Fact(None, budget.limit, answer.problem)


async def _ask_mutes(sources: Sources, alert: Alert, answers: _Answers) -> None:
    if sources.alertmanager is None:
        answers.mutes = Fact((), "no Alertmanager is configured")
        return
    place = sources.alertmanager.url
    answers.mutes = await bounded(place, sources.timeout_seconds, sources.alertmanager.mutes(alert))


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


async def _ask_workload(sources: Sources, target: Target, seen: _Seen, policy: Policy) -> None:
    """The Deployment, and then what its template and selector lead to; all within the one deadline."""
    cluster = sources.cluster
    if cluster is None:
        return
    loop = asyncio.get_running_loop()
    until = loop.time() + sources.timeout_seconds
    place = _place(target)
    document = await bounded(place, sources.timeout_seconds, cluster.deployment(target))
    if document.value is None:
        for item in fields(_Seen):
            if item.name != "autoscalers":
                setattr(seen, item.name, Fact(None, place, document.problem))
        return
    found, left = document.value, max(0.05, until - loop.time())
    async with asyncio.TaskGroup() as group:
        workload = group.create_task(bounded(place, left, cluster.workload(target, found)), name="fact.workload.spec")
        template = group.create_task(bounded(place, left, cluster.template(target, found)), name="fact.template")
        changes = group.create_task(bounded(place, left, cluster.changes(target, found)), name="fact.changes")
        budgets = group.create_task(
            bounded(disruption_budgets_path(target.namespace), left, cluster.budgets(target, found)),
            name="fact.budgets",
        )
        if _needs_pods(policy, found):
            group.create_task(_ask_pods(cluster, target, found, left, seen), name="fact.pods")
    seen.workload, seen.budgets = workload.result(), budgets.result()
    seen.template, seen.changes = template.result(), changes.result()


def _needs_pods(policy: Policy, document: JsonObject) -> bool:
    """Whether anything asks about pods: a witness, a connection budget, or the age of a configuration."""
    if policy.connections is not None or any(item.kind is WitnessKind.PODS_READY for item in policy.witnesses):
        return True
    try:
        return any(references(document["spec"]["template"]))
    except (KeyError, TypeError, AttributeError):
        return True


async def _ask_pods(
    cluster: ClusterReader, target: Target, document: JsonObject, timeout_seconds: float, seen: _Seen
) -> None:
    place = pods_path(target.namespace)
    answer = await bounded(place, timeout_seconds, cluster.pod_summary(target, document))
    if answer.value is None:
        seen.ready_pod = Fact(None, place, answer.problem)
        seen.pods = Fact(None, place, answer.problem)
        return
    seen.ready_pod, seen.pods = Fact(answer.value[0], place), Fact(answer.value[1], place)


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
