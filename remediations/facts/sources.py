"""The sources of facts, and how they are read: under a deadline, with a failure as a fact without value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from chassis.http.call import Call, Response
from remediations.core.model.alert import Alert
from remediations.core.model.facts import Fact
from remediations.core.policies.limits import CustomGuard
from remediations.core.policies.policy import Query
from remediations.facts.kubernetes.reader import ClusterReader


class QueryApi(Protocol):
    """Answers PromQL; remediations.facts.prometheus.PrometheusClient, or a fake."""

    async def query(self, query: Query) -> Fact[bool]:
        """The result, unknown unless it is a single, fresh number; never raises BackendError."""
        ...

    async def measure(self, query: Query) -> Fact[float]:
        """The number, unknown unless it is single and fresh; never raises BackendError."""
        ...

    async def has_samples(self, guard: CustomGuard) -> Fact[bool]:
        """Whether the guard's query has a sample, unknown unless its data is fresh; never raises BackendError."""
        ...


class SilenceApi(Protocol):
    """Silences and inhibitions of alerts: remediations.facts.alertmanager.Alertmanager, or a fake."""

    url: str

    async def mutes(self, alert: Alert) -> tuple[str, ...]:
        """What silences, inhibits or mutes the alert now; raises BackendError."""
        ...


class Getter(Protocol):
    """Sends a witness's GET; chassis.http.client.HttpClient, or a fake."""

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


class Session(Protocol):
    """Runs statements on a kept connection; chassis.postgres.session.PostgresSession, or a fake."""

    async def fetch(self, sql: str, *arguments: object, timeout_seconds: float) -> Any:
        """The rows; raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class FactSources:
    """Where facts, evidence and observations come from. `cluster` None: no orchestrator is configured."""

    prometheus: QueryApi
    http: Getter
    cluster: ClusterReader | None
    timeout_seconds: float
    pause_file: Path | None = None
    alertmanager: SilenceApi | None = None
    """None: no Alertmanager is configured, so no alert counts as silenced."""
    database: Session | None = None

    @property
    def evidence_seconds(self) -> float:
        """Longest wait for evidence: it may follow the facts within the same lease."""
        return self.timeout_seconds / 2

    def for_decision(self) -> FactSources:
        """The same sources for one decision, which fetch nothing from the cluster twice."""
        return self if self.cluster is None else replace(self, cluster=self.cluster.for_decision())
