"""Reads the answers of Prometheus, Alertmanager and our own probes about one alert, all concurrently."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from chassis.errors import BackendError, Reason
from chassis.http.call import Call
from chassis.http.client_auth import without_user
from remediations.core.model.alert import Alert
from remediations.core.model.facts import Fact
from remediations.core.policies.limits import ConnectionBudget, CustomGuard
from remediations.core.policies.policy import Policy, PolicySet, Query, Witness, WitnessKind
from remediations.facts.ask import asked, bounded
from remediations.facts.sources import FactSources

CLIENT_ERROR = 400
SERVER_ERROR = 500
SILENT_REASONS = frozenset({Reason.REFUSED, Reason.TIMEOUT, Reason.CLOSED, Reason.UNREACHABLE})
"""Reasons of a GET that found no server. Other failures (DNS, TLS) may be our own fault: unknown."""


@dataclass(slots=True)
class Answers:
    """Facts as they arrive."""

    condition: Fact[bool]
    dependencies: dict[str, Fact[bool]] = field(default_factory=dict)
    witnesses: dict[str, Fact[bool]] = field(default_factory=dict)
    mutes: Fact[tuple[str, ...]] = field(default_factory=lambda: Fact(None, "", "not asked"))
    connection_limit: Fact[float] = field(default_factory=lambda: Fact(None, "", "not asked"))
    locks: dict[str, Fact[bool]] = field(default_factory=dict)
    custom: dict[str, Fact[bool]] = field(default_factory=dict)


async def ask_all(sources: FactSources, policy: Policy, policy_set: PolicySet, alert: Alert | None) -> Answers:
    """Every result that the policy's guards need except those of the cluster; witnesses of pods are not included."""
    answers = Answers(Fact(None, policy.condition.promql, "not asked"))
    async with asyncio.TaskGroup() as group:
        group.create_task(_ask_condition(sources, policy.condition, answers), name="fact.condition")
        group.create_task(_ask_queries(sources, policy, policy_set, answers), name="fact.queries")
        if alert is not None:
            group.create_task(_keep_mutes(sources, alert, answers), name="fact.mutes")
        for witness in policy.witnesses:
            if witness.kind is WitnessKind.HTTP:
                group.create_task(_ask_witness(sources, witness, answers), name=f"fact.witness.{witness.name}")
    return answers


async def _ask_condition(sources: FactSources, query: Query, answers: Answers) -> None:
    answers.condition = await asked(sources, query)


async def _ask_queries(sources: FactSources, policy: Policy, policy_set: PolicySet, answers: Answers) -> None:
    """All other queries to Prometheus, concurrently."""

    async def collect(place: dict[str, Fact[bool]], name: str, query: Query) -> None:
        place[name] = await asked(sources, query)

    async with asyncio.TaskGroup() as group:
        for name in policy.dependencies:
            query = policy_set.dependencies[name]
            group.create_task(collect(answers.dependencies, name, query), name=f"fact.dependency.{name}")
        for name, query in policy_set.locks.items():
            group.create_task(collect(answers.locks, name, query), name=f"fact.lock.{name}")
        for guard in policy.guards:
            group.create_task(_ask_custom(sources, guard, answers), name=f"fact.custom.{guard.name}")
        if policy.connections is not None:
            group.create_task(_ask_limit(sources, policy.connections, answers), name="fact.connection_limit")


async def _ask_custom(sources: FactSources, guard: CustomGuard, answers: Answers) -> None:
    answer = await bounded(guard.promql, sources.timeout_seconds, sources.prometheus.has_samples(guard))
    answers.custom[guard.name] = answer.value or Fact(None, guard.promql, answer.problem)


async def _ask_limit(sources: FactSources, budget: ConnectionBudget, answers: Answers) -> None:
    query = Query(budget.limit, budget.collectors, budget.max_age_seconds)
    answer = await bounded(budget.limit, sources.timeout_seconds, sources.prometheus.measure(query))
    answers.connection_limit = answer.value or Fact(None, budget.limit, answer.problem)


async def _keep_mutes(sources: FactSources, alert: Alert, answers: Answers) -> None:
    answers.mutes = await ask_mutes(sources, alert)


async def ask_mutes(sources: FactSources, alert: Alert) -> Fact[tuple[str, ...]]:
    """What silences, inhibits or mutes the alert at this moment."""
    if sources.alertmanager is None:
        return Fact((), "no Alertmanager is configured")
    place = without_user(sources.alertmanager.url)
    found = await bounded(place, sources.timeout_seconds, sources.alertmanager.mutes(alert))
    problem = f"Alertmanager at {place} (alertmanager.url): {found.problem}" if found.value is None else ""
    return replace(found, problem=problem)


async def _ask_witness(sources: FactSources, witness: Witness, answers: Answers) -> None:
    """A GET of our own: true if no server answers or a 5xx comes, false for 2xx, unknown for everything else.

    A new connection each time: a pooled one may lead to a process that no longer exists.
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
