"""Assembles the remediator, runs it, and closes its parts in reverse order."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

import prometheus_client

from chassis import log
from chassis.clock import Clock, SystemClock
from chassis.errors import ConfigError, InvariantBroken
from chassis.http.client import HttpClient
from chassis.http.connection_limits import Dropped
from chassis.http.server import Limits, Listener
from chassis.http.web_auth import Refused, WebGuard
from chassis.http.web_config import read_web
from chassis.kubernetes.client import KubernetesClient
from chassis.log import Quiet, get_logger
from chassis.net.sockets import ListenError
from chassis.postgres.address import PostgresAddress
from chassis.process.lifecycle import Lifecycle, run
from chassis.process.start_notices import tell, tell_readable
from chassis.steady_clock import SteadyClock
from remediations.commands.changed_settings import tell_changed
from remediations.commands.check_config import check_config, check_content, check_everything, users_without_role
from remediations.commands.connections import (
    asking,
    call_seconds,
    keep_open,
    make_sources,
    make_tools,
    open_cluster,
    opened_session,
)
from remediations.commands.output import exit_codes
from remediations.commands.policy_store import PolicyStore
from remediations.commands.startup import find_start, release_orphaned_claims, tell_unmatched_pauses
from remediations.core.intake import Deduplication
from remediations.core.model.acts import BY_SIGNAL, ActKind, HumanAct
from remediations.core.model.errors import JournalError
from remediations.core.policies.policy import PolicySet
from remediations.engine.context import EngineContext
from remediations.engine.engine import Engine, EngineParts
from remediations.engine.reverts import revert_names
from remediations.engine.simulation import Planner
from remediations.execution.executor import Executor, Tools
from remediations.execution.self_test import SelfTest
from remediations.facts.alertmanager import Alertmanager
from remediations.facts.prometheus import PrometheusClient
from remediations.facts.reachability import Reachability, probe_alertmanager, probe_prometheus
from remediations.facts.sources import Session
from remediations.http.roles import BY_DEFAULT, Roles
from remediations.http.server import Server, ServerDependencies
from remediations.http.tokens import TokenCredentials
from remediations.journal.port import Journal
from remediations.journal.retention import forget_old
from remediations.journal.sqlite.adapter import open_journal
from remediations.metrics import Notification, Telemetry
from remediations.notifications.alertmanager import Announcer, Poster
from remediations.notifications.dispatcher import Dispatcher, Notifier
from remediations.notifications.kubernetes_events import Creator, EventWriter
from remediations.settings import RemediatorSettings

Work = Callable[[], Coroutine[Any, Any, None]]


def make_dispatcher(
    desk: EngineContext, settings: RemediatorSettings, http: Poster, api: Creator | None
) -> tuple[Dispatcher, Mapping[str, Work]]:
    """The dispatcher, and the tasks that run alongside the engine until the end: task name → work."""
    notifiers: list[Notifier] = []
    works: dict[str, Work] = {}
    if settings.alertmanager is not None and settings.alertmanager.announce:
        announcer = Announcer(http, settings.alertmanager, desk.clock, desk.telemetry)
        notifiers.append(announcer)
        works["announcer"] = announcer.run
    if api is not None and settings.kubernetes is not None:
        seconds = settings.kubernetes.timeout_seconds
        writer = EventWriter(api, desk.clock, desk.telemetry, timeout_seconds=seconds, instance=socket.gethostname())
        notifiers.append(writer)
        works["events"] = writer.run
    dispatcher = Dispatcher(desk.journal, desk.policies, desk.clock, notifiers)
    return dispatcher, works | {"dispatcher": dispatcher.run}


CREDENTIALS_WARNING = "kubernetes: the credentials are refused or could not be renewed; the log says why"


def make_telemetry(policy_set: PolicySet) -> Telemetry:
    """The program's metrics; reads the disk, so before the event loop starts."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    reverts = revert_names(policy_set.policies)
    telemetry = Telemetry([*(policy.name for policy in policy_set.policies), *reverts])
    telemetry.initialise_actions((name, "revert_scale") for name in reverts)
    for policy in policy_set.policies:
        telemetry.initialise_actions(
            (policy.name, action) for action in (policy.action, *(r.action for r in policy.ladder))
        )
    return telemetry


def make_reachability(
    settings: RemediatorSettings, http: HttpClient, telemetry: Telemetry, clock: Clock
) -> Reachability:
    """The probes of Prometheus and, if configured, of Alertmanager."""
    ask = PrometheusClient(http, settings.prometheus, clock).instant
    probes = [probe_prometheus(settings.prometheus, ask)]
    if settings.alertmanager is not None:
        probes.append(probe_alertmanager(settings.alertmanager, Alertmanager(http, settings.alertmanager).is_settling))
    return Reachability(tuple(probes), clock, telemetry)


async def serve(
    life: Lifecycle, settings: RemediatorSettings, file: Path | None, policy_set: PolicySet, telemetry: Telemetry
) -> None:
    """Runs until a signal; `file` is the settings file.

    At the start raises ConfigError (credentials of Kubernetes) or JournalError (the journal's file).
    """
    clock = SteadyClock(SystemClock())
    stack = life.stack
    telemetry.watchdog = life.watchdog
    journal = await stack.enter_async_context(_open_journal(settings))
    await release_orphaned_claims(journal, settings.journal)
    cluster = await open_cluster(stack, settings)
    http = await stack.enter_async_context(HttpClient.opened())
    shelf = PolicyStore(settings.policies_file, policy_set)
    life.on_reload(shelf.request_reload)
    shelf.note_reload = _note_reloads(journal, settings, file, clock, shelf.current)
    session = await stack.enter_async_context(opened_session(settings.database))
    sources = make_sources(settings, http, cluster, session, clock)
    proofs = SelfTest(cluster, shelf.current, clock, call_seconds(settings))
    shelf.on_change = proofs.wake
    start = await find_start(journal, clock)
    desk = EngineContext(journal, shelf.current, sources, telemetry, clock, start=start, prove=proofs.prove_limits)
    tools = make_tools(settings, http, PrometheusClient(http, settings.prometheus, clock), session)
    dispatcher, notifiers = make_dispatcher(desk, settings, http, cluster)
    engine = Engine(EngineParts(desk, _executor(settings, cluster, clock, tools), settings.worker, dispatcher.notify))
    guard = await _guard(settings, telemetry, clock)
    limits = _limits(settings, telemetry, clock)
    reachability = make_reachability(settings, http, telemetry, clock)

    def warnings() -> tuple[str, ...]:
        refused = () if cluster is None or cluster.problem is None else (CREDENTIALS_WARNING,)
        return (*refused, *reachability.warnings())

    listener = await _listen(stack, _server(settings, desk, engine, guard, warnings), settings, guard, limits)
    life.serves()
    await _announce(*listener.bound, settings, journal)
    await tell_unmatched_pauses(journal, shelf.current(), clock)
    async with asyncio.TaskGroup() as group:
        works = {
            "policies": shelf.follow(),
            "self_test": proofs.run(telemetry),
            "reachability": reachability.run(),
            "database": _keep_connections_open(settings, session, clock),
        }
        works |= {"web_config": _watch_web(guard, listener, telemetry)}
        works |= {name: work() for name, work in notifiers.items()}
        tasks = [group.create_task(work, name=name) for name, work in works.items()]
        group.create_task(engine.run(life.stop), name="engine")
        group.create_task(forget_old(journal, clock, settings.journal.keep_days, life.stop), name="retention")
        await life.stop.wait()
        for task in tasks:
            task.cancel()
    get_logger().info("program.stopped")


def _server(
    settings: RemediatorSettings,
    desk: EngineContext,
    engine: Engine,
    guard: WebGuard | None,
    warnings: Callable[[], tuple[str, ...]],
) -> Server:
    """The HTTP server, which wakes the engine."""
    credentials = TokenCredentials(settings.token_files(), desk.clock, desk.telemetry.see_credentials)
    sameness = Deduplication(frozenset(settings.intake.replica_labels), settings.intake.duplicate_seconds)
    ask = asking(desk.sources, desk.clock, desk.prove)
    planner = Planner(desk.policies, desk.journal, ask, desk.start, desk.clock, settings.pause_file)

    async def check_policies(policies: str | None) -> dict[str, Any]:
        return await check_content(settings, policies, is_serving=True)

    parts = ServerDependencies(
        desk.journal, desk.policies, credentials, desk.telemetry, desk.clock, engine.wake, planner, check_policies,
        settings.pause_file, sameness, guard, warnings, Roles(settings.server.roles, settings.delivering_files()),
    )  # fmt: skip
    return Server(parts)


def _note_reloads(
    journal: Journal,
    settings: RemediatorSettings,
    file: Path | None,
    clock: Clock,
    policies: Callable[[], PolicySet],
) -> Callable[[tuple[str, ...]], Awaitable[None]]:
    """Stores the reload by SIGHUP, and logs changed settings (not reloaded) and pauses without effect.

    If the journal cannot be written, that is logged and the reload stays in force.
    """

    async def log_reload(faults: tuple[str, ...]) -> None:
        detail = {"outcome": "refused" if faults else "reloaded"}
        act = HumanAct(clock.now(), ActKind.RELOAD, str(settings.policies_file), BY_SIGNAL, detail)
        try:
            await journal.note_act(act)
        except JournalError as error:
            get_logger().error("act.store_failed", act=act.kind.value, by=act.actor.label, problem=str(error))
        await tell_changed(settings, file)
        await tell_unmatched_pauses(journal, policies(), clock)

    return log_reload


async def _guard(settings: RemediatorSettings, telemetry: Telemetry, clock: Clock) -> WebGuard | None:
    """The content of the web configuration file; None without one. Raises ConfigError."""
    path = settings.server.web_config_file
    if path is None:
        return None
    first = await asyncio.to_thread(read_web, path)
    telemetry.see_web_config(is_successful=True)

    def refuse(reason: Refused) -> None:
        is_unknown = reason is Refused.UNAUTHORIZED
        telemetry.count_notification(Notification.UNAUTHORIZED if is_unknown else Notification.UNAVAILABLE)

    return WebGuard(path, first, refuse, clock, HTTPStatus.SERVICE_UNAVAILABLE)


async def _watch_web(guard: WebGuard | None, listener: Listener, telemetry: Telemetry) -> None:
    """Keeps TLS and users as the file says, until cancelled."""
    if guard is not None:
        await guard.watch(listener.replace_tls, telemetry.see_web_config, get_logger())


def _limits(settings: RemediatorSettings, telemetry: Telemetry, clock: Clock) -> Limits:
    """The limits on connections; refused ones are counted, and logged once a minute for each reason."""
    quiet, logger = Quiet(clock), get_logger()

    def count_drop(reason: Dropped) -> None:
        telemetry.count_dropped(reason)
        if number := quiet.count(reason):
            logger.warning("connection.dropped", reason=reason.value, number=number)

    return Limits(settings.server.connections, count_drop)


async def _listen(
    stack: AsyncExitStack, server: Server, settings: RemediatorSettings, guard: WebGuard | None, limits: Limits
) -> Listener:
    """Serves until the stack is closed, so after the engine has ended; raises ConfigError."""
    host, port = settings.server.host, settings.server.port
    tls = None if guard is None else guard.web.tls
    try:
        opening = Listener.opened(server.application(), (host, port), tls=tls, limits=limits)
        return await stack.enter_async_context(opening)
    except ListenError as error:
        raise ConfigError((error.fault,)) from error


def _open_journal(settings: RemediatorSettings) -> AbstractAsyncContextManager[Journal]:
    """The journal on its file."""
    place = settings.journal
    return open_journal(place.path, timeout_seconds=place.timeout_seconds, max_log_bytes=place.max_log_bytes)


def _executor(settings: RemediatorSettings, cluster: KubernetesClient | None, clock: Clock, tools: Tools) -> Executor:
    """The executor; without Kubernetes it can still send HTTP calls and use the database."""
    limits = [call_seconds(settings)]
    limits += [] if settings.database is None else [settings.database.timeout_seconds]
    return Executor(cluster, clock, max(limits), tools)


async def _keep_connections_open(settings: RemediatorSettings, session: Session | None, clock: Clock) -> None:
    """Keeps the database connection open, where there is one."""
    if session is not None and settings.database is not None:
        await keep_open(session, clock, settings.database.timeout_seconds)


async def _tell_roles(settings: RemediatorSettings) -> None:
    """Logs in one line which kinds of credential have which role, or that nothing can be operated over HTTP."""
    roles = settings.server.roles
    if roles is None:
        get_logger().warning(
            "roles.not_configured",
            every_credential=sorted(role.value for role in BY_DEFAULT),
            hint="over HTTP nothing can be paused, resumed, reset, approved or rejected until server.roles is set",
        )
        return
    held = {
        role.value: len(item.token_files) + len(item.users) + len(item.certificates)
        for role, item in roles.holders().items()
    }
    unnamed = await asyncio.to_thread(users_without_role, settings)
    get_logger().info("roles.configured", credentials=held, users_without_role=list(unnamed))


async def _announce(host: str, port: int, settings: RemediatorSettings, journal: Journal) -> None:
    """Logs where the program listens, the state of the journal, and ignored environment variables."""
    database = settings.database
    tell(os.environ, None if database is None else PostgresAddress.parse(database.url))
    await tell_readable(settings)
    await _tell_roles(settings)
    counts = await journal.counts()
    get_logger().info(
        "program.started",
        host=host,
        port=port,
        journal=str(settings.journal.path),
        kubernetes=settings.kubernetes is not None,
        remediations={state.value: number for state, number in counts.items() if number},
    )


def run_serve(options: argparse.Namespace, settings: RemediatorSettings) -> int:
    """Runs until a signal."""
    policy_set = check_everything(settings, is_serving=True)
    if options.is_check:
        return check_config(options, settings)
    log.configure(program="controlcore-remediator", level=settings.log.level, form=settings.log.form)

    telemetry = make_telemetry(policy_set)

    async def body(life: Lifecycle) -> None:
        await serve(life, settings, getattr(options, "config_file", None), policy_set, telemetry)

    status = 0
    try:
        run(body)
    except* InvariantBroken as broken:
        log.get_logger().critical("invariant.broken", problem="; ".join(str(error) for error in _leaves(broken)))
        status = exit_codes.FAILED
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors inside a group, at any depth."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
