"""Opens what facts are gathered from, for the program that serves and for the commands beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from chassis.clock import Clock, SystemClock
from chassis.http.client import HttpClient
from chassis.kubernetes.client import ClusterApi, KubernetesClient
from remediations.core.model.alert import Alert, Target
from remediations.core.model.facts import Fact, Facts
from remediations.core.policies.policy import Policy, PolicySet
from remediations.engine.simulation import AskFacts
from remediations.execution.self_test import prove_once
from remediations.facts.alertmanager import Alertmanager
from remediations.facts.gather import gather_facts, look
from remediations.facts.kubernetes.action_facts import Lookout
from remediations.facts.kubernetes.reader import ClusterReader
from remediations.facts.prometheus import PrometheusClient
from remediations.facts.sources import Sources
from remediations.settings import RemediatorSettings
from remediations.tools import opened_session

DEFAULT_TIMEOUT_SECONDS = 3.0

Prove = Callable[[Policy, PolicySet, Target], Awaitable[Fact[bool]]]


def call_seconds(settings: RemediatorSettings) -> float:
    """Longest wait for one call to the API server."""
    return DEFAULT_TIMEOUT_SECONDS if settings.kubernetes is None else settings.kubernetes.timeout_seconds


async def open_cluster(stack: AsyncExitStack, settings: RemediatorSettings) -> KubernetesClient | None:
    """The Kubernetes client, or None where none is configured."""
    if settings.kubernetes is None:
        return None
    place = settings.kubernetes
    return await stack.enter_async_context(KubernetesClient.opened(place.kubeconfig, place.max_list_bytes))


def make_sources(settings: RemediatorSettings, http: HttpClient, cluster: ClusterApi | None, clock: Clock) -> Sources:
    """Where facts come from."""
    reader = None
    if cluster is not None and settings.kubernetes is not None:
        reader = ClusterReader(cluster, settings.kubernetes.timeout_seconds)
    return Sources(
        prometheus=PrometheusClient(http, settings.prometheus, clock),
        http=http,
        cluster=reader,
        timeout_seconds=settings.worker.facts_timeout_seconds,
        pause_file=settings.pause_file,
        alertmanager=_alertmanager(settings, http),
    )


def asking(sources: Sources, lookout: Lookout, clock: Clock, prove: Prove) -> AskFacts:
    """Asks the live systems as a decision does, once for each question."""

    async def ask(policy: Policy, policy_set: PolicySet, target: Target, alert: Alert) -> Facts:
        facts = await gather_facts(sources, policy, policy_set, target, alert)
        proof = await prove(policy, policy_set, target)
        return replace(facts, self_test=proof, sights=await look(lookout, policy, target, clock.now()))

    return ask


async def opened_asking(stack: AsyncExitStack, settings: RemediatorSettings) -> AskFacts:
    """The same for a command beside the program; its connections close with the stack."""
    clock = SystemClock()
    cluster = await open_cluster(stack, settings)
    http = await stack.enter_async_context(HttpClient.opened())
    session = await stack.enter_async_context(opened_session(settings.database))
    lookout = Lookout(cluster, session, settings.worker.facts_timeout_seconds / 2, cluster)

    async def prove(policy: Policy, policy_set: PolicySet, target: Target) -> Fact[bool]:
        return await prove_once(cluster, policy, policy_set, target, call_seconds(settings))

    return asking(make_sources(settings, http, cluster, clock), lookout, clock, prove)


def _alertmanager(settings: RemediatorSettings, http: HttpClient) -> Alertmanager | None:
    """Who knows about silences, where one is configured."""
    place = settings.alertmanager
    return None if place is None else Alertmanager(http, place)
