"""Puts the remediator together, runs it, and takes it apart in reverse order."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from http import HTTPStatus

import prometheus_client

from chassis.clock import Clock, SystemClock
from chassis.errors import ConfigError, Fault
from chassis.http import HttpClient, Listener
from chassis.kubernetes import KubernetesClient
from chassis.lifecycle import Lifecycle
from chassis.log import get_logger
from chassis.web_config import read_web
from chassis.web_guard import Refused, WebGuard
from remediations.alertmanager import Alertmanager
from remediations.cluster import ClusterApi, ClusterReader
from remediations.credentials import Credentials, check_files
from remediations.decider import Desk
from remediations.engine import Engine, EngineParts
from remediations.executor import Executor, Tools
from remediations.facts import gather_facts
from remediations.gathering import look
from remediations.intake import Sameness
from remediations.journal.filesystem import find_fault
from remediations.journal.port import Journal
from remediations.journal.sqlite import open_journal
from remediations.model import Alert, Facts, Mode, Target
from remediations.policy import Policy, PolicySet
from remediations.prometheus import PrometheusClient
from remediations.retention import forget_old
from remediations.reverting import born
from remediations.selftest import SelfTest, prove_once
from remediations.senders import Session
from remediations.server import Parts, Server
from remediations.settings import RemediatorSettings
from remediations.shelf import PolicyShelf, read_policies
from remediations.sighting import Lookout
from remediations.sources import Sources
from remediations.start import find_start, take_over
from remediations.steady_clock import SteadyClock
from remediations.telemetry import Notification, Telemetry
from remediations.telling import make_herald
from remediations.tools import keep_open, make_tools, opened_session

DEFAULT_TIMEOUT_SECONDS = 3.0

Gather = Callable[[Policy, PolicySet, Target, Alert], Awaitable[Facts]]


def check_everything(settings: RemediatorSettings, *, is_serving: bool) -> PolicySet:
    """The policies, when nothing is wrong anywhere; raises ConfigError with the faults of all files at once."""
    faults: list[Fault] = []
    if is_serving:
        faults += settings.serve_faults()
    faults += [Fault("server.token_file", problem) for problem in check_files(settings.token_files())]
    faults += web_faults(settings, is_serving=is_serving)
    policy_set = PolicySet(())
    try:
        policy_set = read_policies(settings.policies_file)
    except ConfigError as error:
        faults += error.faults
    faults += journal_faults(settings, policy_set) if is_serving else ()
    if faults:
        raise ConfigError(tuple(faults))
    return policy_set


def journal_faults(settings: RemediatorSettings, policy_set: PolicySet) -> tuple[Fault, ...]:
    """Why no policy may act with this journal: what acts must remember that it has acted."""
    acting = [policy.name for policy in policy_set.policies if policy.mode in {Mode.AUTO, Mode.APPROVE}]
    if not acting or settings.journal.is_ephemeral_accepted:
        return ()
    fault = find_fault(settings.journal.path)
    return (Fault("journal.path", f"{fault}; policies that act: {', '.join(acting)}"),) if fault else ()


def web_faults(settings: RemediatorSettings, *, is_serving: bool) -> tuple[Fault, ...]:
    """What is wrong with the web configuration file; a file that identifies nobody is no credential."""
    path = settings.server.web_config_file
    if path is None:
        return ()
    try:
        first = read_web(path)
    except ConfigError as error:
        return error.faults
    names_somebody = bool(first.config.basic_auth_users)
    names_somebody |= first.tls is not None and first.tls.verify_mode is ssl.CERT_REQUIRED
    if not is_serving or names_somebody or settings.token_files():
        return ()
    return (Fault("server.web_config_file", "names no users and demands no client certificate, and no token is set"),)


def make_telemetry(policy_set: PolicySet) -> Telemetry:
    """The program's metrics; reads the disk, so before the event loop starts."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    reverts = born(policy_set.policies)
    telemetry = Telemetry([*(policy.name for policy in policy_set.policies), *reverts])
    telemetry.bear_actions((name, "revert_scale") for name in reverts)
    for policy in policy_set.policies:
        telemetry.bear_actions((policy.name, action) for action in (policy.action, *(r.action for r in policy.ladder)))
    return telemetry


async def serve(life: Lifecycle, settings: RemediatorSettings, policy_set: PolicySet, telemetry: Telemetry) -> None:
    """Runs until a signal. Raises ConfigError (credentials of Kubernetes) or JournalError (the file) at the start."""
    clock = SteadyClock(SystemClock())
    stack = life.stack
    journal = await stack.enter_async_context(_open_journal(settings))
    cluster = await _open_cluster(stack, settings)
    http = await stack.enter_async_context(HttpClient.opened())
    shelf = PolicyShelf(settings.policies_file, policy_set)
    life.on_reload(shelf.request_reload)
    sources = _sources(settings, http, cluster, clock)
    session = await stack.enter_async_context(opened_session(settings.database))
    lookout = Lookout(cluster, session, settings.worker.facts_timeout_seconds / 2, cluster)
    proofs = SelfTest(cluster, shelf.current, clock, _call_seconds(settings))
    shelf.on_change = proofs.wake
    start = await find_start(journal, clock)
    await take_over(journal)
    desk = Desk(journal, shelf.current, sources, telemetry, clock, start=start, lookout=lookout, prove=proofs.ask)
    tools = make_tools(settings, http, PrometheusClient(http, settings.prometheus, clock), session)
    herald, tellers = make_herald(desk, settings, http, cluster)
    engine = Engine(EngineParts(desk, _executor(settings, cluster, clock, tools), settings.worker, herald.heed))
    guard = await _guard(settings, telemetry, clock)
    listener = await _listen(stack, _server(settings, desk, engine, guard), settings, guard)
    await _announce(*listener.bound, settings, journal)
    async with asyncio.TaskGroup() as group:
        works = {
            "policies": shelf.follow(),
            "self_test": proofs.run(telemetry),
            "database": _keep(settings, session, clock),
        }
        works |= {"web_config": _watch_web(guard, listener)} | {name: work() for name, work in tellers.items()}
        tasks = [group.create_task(work, name=name) for name, work in works.items()]
        group.create_task(engine.run(life.stop), name="engine")
        group.create_task(forget_old(journal, clock, settings.journal.keep_days, life.stop), name="retention")
        await life.stop.wait()
        for task in tasks:
            task.cancel()
    get_logger().info("program.stopped")


def _server(settings: RemediatorSettings, desk: Desk, engine: Engine, guard: WebGuard | None) -> Server:
    """The HTTP side, which wakes the engine."""
    credentials = Credentials(settings.token_files(), desk.clock)
    sameness = Sameness(frozenset(settings.intake.replica_labels), settings.intake.duplicate_seconds)
    parts = Parts(
        desk.journal, desk.policies, credentials, desk.telemetry, desk.clock, engine.wake, settings.pause_file,
        sameness, guard,
    )  # fmt: skip
    return Server(parts)


async def opened_gatherer(stack: AsyncExitStack, settings: RemediatorSettings) -> Gather:
    """What gathers facts as `serve` does, for a command beside it; its connections close with the stack."""
    clock = SystemClock()
    cluster = await _open_cluster(stack, settings)
    http = await stack.enter_async_context(HttpClient.opened())
    session = await stack.enter_async_context(opened_session(settings.database))
    sources = _sources(settings, http, cluster, clock)
    lookout = Lookout(cluster, session, settings.worker.facts_timeout_seconds / 2, cluster)

    async def gather(policy: Policy, policy_set: PolicySet, target: Target, alert: Alert) -> Facts:
        facts = await gather_facts(sources, policy, policy_set, target, alert)
        proof = await prove_once(cluster, policy, policy_set, target, _call_seconds(settings))
        return replace(facts, self_test=proof, sights=await look(lookout, policy, target, clock.now()))

    return gather


async def _guard(settings: RemediatorSettings, telemetry: Telemetry, clock: Clock) -> WebGuard | None:
    """What the web configuration file asks for; None without one. Raises ConfigError."""
    path = settings.server.web_config_file
    if path is None:
        return None
    first = await asyncio.to_thread(read_web, path)

    def refuse(reason: Refused) -> None:
        is_limited = reason is Refused.RATE_LIMITED
        telemetry.count_notification(Notification.UNAVAILABLE if is_limited else Notification.UNAUTHORIZED)

    return WebGuard(path, first, refuse, clock, HTTPStatus.SERVICE_UNAVAILABLE)


async def _watch_web(guard: WebGuard | None, listener: Listener) -> None:
    """Keeps TLS and users as the file says, until cancelled."""
    if guard is not None:
        await guard.watch(listener.replace_tls, _note_reload, get_logger())


def _note_reload(*, is_successful: bool) -> None:
    """The guard has written its own line; this program publishes no metric of it."""


async def _listen(
    stack: AsyncExitStack, server: Server, settings: RemediatorSettings, guard: WebGuard | None
) -> Listener:
    """Serves until the stack is closed, so after the engine has ended; raises ConfigError when the port is taken."""
    host, port = settings.server.host, settings.server.port
    tls = None if guard is None else guard.web.tls
    try:
        return await stack.enter_async_context(Listener.opened(server.application(), (host, port), tls=tls))
    except OSError as error:
        raise ConfigError((Fault("server.port", f"cannot listen on {host}:{port}: {error.strerror}"),)) from error


def _open_journal(settings: RemediatorSettings) -> AbstractAsyncContextManager[Journal]:
    """The journal on its file."""
    return open_journal(settings.journal.path, timeout_seconds=settings.journal.timeout_seconds)


def _call_seconds(settings: RemediatorSettings) -> float:
    """Longest wait for one call to the API server."""
    return DEFAULT_TIMEOUT_SECONDS if settings.kubernetes is None else settings.kubernetes.timeout_seconds


async def _open_cluster(stack: AsyncExitStack, settings: RemediatorSettings) -> KubernetesClient | None:
    """The Kubernetes client, or None where none is configured."""
    if settings.kubernetes is None:
        return None
    return await stack.enter_async_context(KubernetesClient.opened(settings.kubernetes.kubeconfig))


def _sources(settings: RemediatorSettings, http: HttpClient, cluster: ClusterApi | None, clock: Clock) -> Sources:
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


def _alertmanager(settings: RemediatorSettings, http: HttpClient) -> Alertmanager | None:
    """Who knows about silences, where one is configured."""
    place = settings.alertmanager
    return None if place is None else Alertmanager(http, place.url, place.timeout_seconds)


def _executor(settings: RemediatorSettings, cluster: KubernetesClient | None, clock: Clock, tools: Tools) -> Executor:
    """The one writer; without Kubernetes it can still call and ask the database."""
    limits = [_call_seconds(settings)]
    limits += [] if settings.database is None else [settings.database.timeout_seconds]
    return Executor(cluster, clock, max(limits), tools)


async def _keep(settings: RemediatorSettings, session: Session | None, clock: Clock) -> None:
    """Keeps the database connection open, where there is one."""
    if session is not None and settings.database is not None:
        await keep_open(session, clock, settings.database.timeout_seconds)


async def _announce(host: str, port: int, settings: RemediatorSettings, journal: Journal) -> None:
    """One line that says where we listen and what we found."""
    counts = await journal.counts()
    get_logger().info(
        "program.started",
        host=host,
        port=port,
        journal=str(settings.journal.path),
        kubernetes=settings.kubernetes is not None,
        remediations={state.value: number for state, number in counts.items() if number},
    )
