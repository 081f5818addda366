"""Where facts come from, and how a question is asked: under a deadline, with a failure as a fact without value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from chassis.errors import BackendError
from chassis.http.client import Call, Response
from remediations.cluster import ClusterReader
from remediations.core.model.alert import Alert
from remediations.core.model.facts import Fact
from remediations.core.policies.limits import CustomGuard
from remediations.core.policies.policy import Query

T = TypeVar("T")


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
    """What sends a witness's GET; chassis.http.client.HttpClient, or a fake."""

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
