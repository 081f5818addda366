"""Opens the connections from which facts are gathered, for the serving program and for the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from chassis.clock import Clock, SystemClock
from chassis.errors import BackendError
from chassis.http.client import HttpClient
from chassis.kubernetes.client import ClusterApi, KubernetesClient
from chassis.log import get_logger
from chassis.output.redaction import remove_secrets
from chassis.postgres.session import PostgresSession
from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import Fact, Facts
from remediations.core.policies.policy import Policy, PolicySet
from remediations.engine.simulation import AskFacts
from remediations.execution.executor import Tools
from remediations.execution.self_test import prove_once
from remediations.execution.senders import Key, origin_of
from remediations.facts.alertmanager import Alertmanager
from remediations.facts.gather import gather_facts, read_action_facts
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.prometheus import PrometheusClient
from remediations.facts.sources import FactSources, Session
from remediations.settings import RemediatorDatabaseSettings, RemediatorSettings

KEEP_SECONDS = 10.0
"""How often the kept connection is used, so that a broken one is replaced while new connections are still possible."""


APPLICATION = "controlcore-remediator"


def read_keys(settings: RemediatorSettings) -> Mapping[str, Key]:
    """Origin → the key that may be sent there."""
    return {origin_of(item.origin): Key(item.key_file, item.header) for item in settings.http_keys}


@asynccontextmanager
async def opened_session(settings: RemediatorDatabaseSettings | None) -> AsyncIterator[PostgresSession | None]:
    """The kept session, or None if no database is configured; asyncpg is imported only if one is."""
    if settings is None:
        yield None
        return
    from dataclasses import replace  # noqa: PLC0415 - together with what it is for

    from chassis.postgres.address import PostgresAddress  # noqa: PLC0415 - same
    from chassis.postgres.session import PostgresSession  # noqa: PLC0415 - 15 MiB that most installations do without

    address = PostgresAddress.parse(settings.url, password_file=settings.password_file)
    session = PostgresSession(
        replace(address, application_name=APPLICATION), max_age_seconds=settings.max_connection_seconds
    )
    try:
        yield session
    finally:
        await session.close()


async def keep_open(session: Session, clock: Clock, timeout_seconds: float) -> None:
    """Uses the session now and every KEEP_SECONDS, until cancelled; says when that begins and ceases to fail."""
    is_failing = False
    while True:
        try:
            await session.fetch("SELECT 1", timeout_seconds=timeout_seconds)
        except BackendError as error:
            if not is_failing:
                get_logger().warning("database.connection_lost", reason=error.reason.value, problem=str(error))
            is_failing = True
        else:
            if is_failing:
                get_logger().info("database.connection_restored")
            is_failing = False
        await clock.sleep(KEEP_SECONDS)


def make_tools(
    settings: RemediatorSettings, http: HttpClient, prometheus: PrometheusClient, session: Session | None
) -> Tools:
    """Everything that the executor needs besides the Kubernetes API."""
    return Tools(http, read_keys(settings), session, prometheus.query)


DEFAULT_TIMEOUT_SECONDS = 3.0

Prove = Callable[[Policy, PolicySet, Target], Awaitable[Fact[bool]]]


def call_seconds(settings: RemediatorSettings) -> float:
    """Longest wait for one call to the API server."""
    return DEFAULT_TIMEOUT_SECONDS if settings.kubernetes is None else settings.kubernetes.timeout_seconds


async def open_cluster(stack: AsyncExitStack, settings: RemediatorSettings) -> KubernetesClient | None:
    """The Kubernetes client, or None if none is configured."""
    if settings.kubernetes is None:
        return None
    place = settings.kubernetes
    return await stack.enter_async_context(
        KubernetesClient.opened(place.kubeconfig, place.max_list_bytes, remove_secrets)
    )


def make_sources(
    settings: RemediatorSettings, http: HttpClient, cluster: ClusterApi | None, session: Session | None, clock: Clock
) -> FactSources:
    """Where facts are read from."""
    reader = None
    if cluster is not None and settings.kubernetes is not None:
        reader = ClusterReader(cluster, settings.kubernetes.timeout_seconds)
    return FactSources(
        prometheus=PrometheusClient(http, settings.prometheus, clock),
        http=http,
        cluster=reader,
        timeout_seconds=settings.worker.facts_timeout_seconds,
        pause_file=settings.pause_file,
        alertmanager=_alertmanager(settings, http),
        database=session,
    )


def asking(sources: FactSources, clock: Clock, prove: Prove) -> AskFacts:
    """Reads the live systems as a decision does, each query once."""

    async def gather_facts_now(policy: Policy, policy_set: PolicySet, target: Target, alert: Alert) -> Facts:
        own = sources.for_decision()
        facts = await gather_facts(own, policy, policy_set, target, alert)
        proof = await prove(policy, policy_set, target)
        return replace(facts, self_test=proof, sights=await read_action_facts(own, policy, target, clock.now()))

    return gather_facts_now


async def opened_asking(stack: AsyncExitStack, settings: RemediatorSettings) -> AskFacts:
    """The same for a command that runs beside the program; its connections close with the stack."""
    clock = SystemClock()
    cluster = await open_cluster(stack, settings)
    http = await stack.enter_async_context(HttpClient.opened())
    session = await stack.enter_async_context(opened_session(settings.database))

    async def prove(policy: Policy, policy_set: PolicySet, target: Target) -> Fact[bool]:
        return await prove_once(cluster, policy, policy_set, target, call_seconds(settings))

    return asking(make_sources(settings, http, cluster, session, clock), clock, prove)


def _alertmanager(settings: RemediatorSettings, http: HttpClient) -> Alertmanager | None:
    """The reader of silences, if Alertmanager is configured."""
    place = settings.alertmanager
    return None if place is None else Alertmanager(http, place)
