"""The running exporter: one server for its whole life, and one generation of collectors for each configuration.

A reload opens the new configuration's sources first. The old collectors end only if that succeeds; otherwise they
continue and the page shows the fault.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chassis.clock import Clock
from chassis.errors import ConfigError
from chassis.http.server import Limits, Listener
from chassis.http.web_auth import WebGuard
from chassis.http.web_config import read_web
from chassis.process.lifecycle import Lifecycle
from chassis.process.start_notices import tell, tell_readable
from exporter.collector import CollectorSpec
from exporter.commands.deployment import Deployment
from exporter.exposition.publisher import Publisher, Snapshot
from exporter.http import landing_page
from exporter.http.debug_page import Records
from exporter.http.reload import Reloads, answer
from exporter.http.scrape_limiter import ScrapeLimiter
from exporter.http.server import Scrape, WebServer
from exporter.results.ledger import Ledger
from exporter.self_metrics import Refusal
from exporter.settings import BouncerDiscovery, ExporterSettings, ServerSettings
from exporter.sources.bouncer_discovery import Discovery
from exporter.sources.open import addresses, opened
from exporter.sources.sources import Sources

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Generation:
    """A configuration whose sources are open, for each deployment by name; `stack` closes them."""

    settings: ExporterSettings
    sources: dict[str, Sources]
    stack: AsyncExitStack


class Exporter:
    """Serves, collects, and reloads its configuration on request."""

    def __init__(
        self,
        settings: ExporterSettings,
        load: Callable[[], ExporterSettings],
        specs: tuple[CollectorSpec, ...],
        clock: Clock,
        logger: FilteringBoundLogger,
    ) -> None:
        self._load = load
        self._specs = specs
        self._clock = clock
        self._logger = logger
        self._started_monotonic = clock.monotonic()
        self._settings = settings
        self._reloads = Reloads(clock)
        self._generation_began = clock.monotonic()
        self._discovery = Discovery(logger)
        self.main = Deployment("", specs, clock, logger)
        self._watches: dict[str, Deployment] = {"": self.main}

    @property
    def ledger(self) -> Ledger:
        """The results of the main installation."""
        return self.main.ledger

    @property
    def publisher(self) -> Publisher:
        """The page of the main installation and of the process."""
        return self.main.publisher

    async def run(self, life: Lifecycle) -> None:
        """Runs until the lifecycle ends. Raises ConfigError, or OSError when it cannot listen."""
        settings = self._settings
        first = await self._open(settings)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(first.stack.aclose)
            gate = ScrapeLimiter(self.publisher.refused, self._clock, self._logger, self.publisher.dropped)
            self.publisher.watchdog = life.watchdog
            site = WebServer(self, gate, settings.server, life.watchdog)
            await self.publisher.publish()  # so that the first scrape includes the process's own metrics
            guard = await self._guard(settings.server, gate)
            place = (settings.server.host, settings.server.port)
            tls = None if guard is None else guard.web.tls
            limits = Limits(settings.server.connections, gate.drop)
            opening = Listener.opened(site.application(guard), place, tls=tls, limits=limits)
            listener = await stack.enter_async_context(opening)
            life.on_reload(self._reloads.request)
            life.serves()
            names = [job.spec.name for job in self.main.jobs(settings)]
            tell(os.environ, addresses(settings)[0])
            await tell_readable(settings)
            if landing_page.is_nothing_watched(settings):
                self._logger.warning("sources.not_configured", hint=landing_page.NOTHING)
            self._logger.info("program.started", host=listener.bound[0], port=listener.bound[1], collectors=names)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.publisher.run(), name="publisher"),
                    group.create_task(self._generations(first), name="generations"),
                ]
                if guard is not None:
                    watching = guard.watch(listener.replace_tls, self.publisher.note_web_reload, self._logger)
                    tasks.append(group.create_task(watching, name="web_config"))
                await life.stop.wait()
                for task in tasks:
                    task.cancel()
        self._logger.info("exporter.stopped")

    async def scrape(self, scrape: Scrape) -> Snapshot | None:
        """The snapshot for an answer; None when there is no such deployment."""
        watch = self._watches.get(scrape.deployment)
        return None if watch is None else await watch.scrape(scrape)

    def owners(self, deployment: str) -> Mapping[str, str]:
        """The collector of each metric."""
        return self._watches[deployment].owners()

    def records(self) -> Records:
        """The collectors of each deployment."""
        return {name: watch.ledger.records() for name, watch in sorted(self._watches.items())}

    def reject(self, error: ConfigError) -> tuple[str, ...]:
        """Reports an unusable configuration in metrics and log; returns its faults as lines."""
        faults = tuple(str(fault) for fault in error.faults)
        self._logger.warning("config.rejected", faults=list(faults))
        self.publisher.note_reload(is_successful=False)
        return faults

    def now_monotonic(self) -> float:
        """The clock that decides when records are stale."""
        return self._clock.monotonic()

    async def reload(self) -> tuple[str, ...]:
        """Reads the configuration again; returns its faults, none when it is in force now."""
        return await self._reloads.ask()

    def pending(self) -> tuple[str, ...]:
        """The collectors that have not ended a collection."""
        return tuple(
            f"{name}/{collector}" if name else collector
            for name, watch in sorted(self._watches.items())
            for collector in watch.pending()
        )

    def describe(self) -> str:
        """The current landing page."""
        now = self._clock.monotonic()
        facts = landing_page.PageFacts(
            self._settings,
            self.ledger.records(),
            now,
            self._started_monotonic,
            self.publisher.snapshot.page.samples,
            self.publisher.is_reload_successful,
            self.ledger.component_states(now),
        )
        return landing_page.page(facts)

    async def _guard(self, settings: ServerSettings, gate: ScrapeLimiter) -> WebGuard | None:
        """The web configuration from web.config.file; None without one. Raises ConfigError."""
        if settings.web_config_file is None:
            return None
        first = await asyncio.to_thread(read_web, settings.web_config_file)
        self.publisher.note_web_reload(is_successful=True)
        return WebGuard(settings.web_config_file, first, lambda reason: gate.refuse(Refusal(reason.value)), self._clock)

    async def _generations(self, generation: Generation) -> None:
        """Runs one generation of collectors after the other, until cancelled."""
        while True:
            self._settings = settings = generation.settings
            self._generation_began = self._clock.monotonic()
            names = settings.deployments
            self._watches = {"": self.main} | {name: self._watches.get(name) or self._watch(name) for name in names}
            async with generation.stack, asyncio.TaskGroup() as group:
                running = [group.create_task(self.main.collect(settings, generation.sources[""]), name="collectors")]
                for name in names:
                    whole = self._watches[name].run(settings.watching(name), generation.sources[name])
                    running.append(group.create_task(whole, name=f"deployment.{name}"))
                if settings.bouncer_discovery != BouncerDiscovery():
                    running.append(group.create_task(self._rediscover(generation), name="discovery"))
                following = await self._next_generation()
                for task in running:
                    task.cancel()
            generation = following

    async def _rediscover(self, generation: Generation) -> None:
        """Discovers bouncers periodically; restarts the collectors when the bouncers changed."""
        while True:
            await self._clock.sleep(generation.settings.bouncer_discovery.refresh_seconds)
            main = generation.sources[""]
            found = await self._discovery.find(generation.settings, main)
            self.publisher.note_discovery(self._discovery)
            if (found, self._discovery.vanished) != (main.settings.bouncers, main.vanished):
                self._logger.info("discovery.changed", bouncers=len(found))
                self._reloads.request(rereads=False)

    def _watch(self, name: str) -> Deployment:
        """A new deployment."""
        return Deployment(name, self._specs, self._clock, self._logger)

    async def _next_generation(self) -> Generation:
        """Waits for a reload that succeeds; a failed one is logged and published, and changes nothing else."""
        while True:
            waiting, rereads = await self._reloads.next(self._is_settled)
            try:
                settings = await asyncio.to_thread(self._load) if rereads else self._settings
                generation = await self._open(settings)
            except ConfigError as error:
                answer(waiting, self.reject(error))
                continue
            if generation.settings.server != self._settings.server:
                self._logger.warning("config.listen_address_ignored", hint="a new listen address needs a restart")
            if rereads:
                self.publisher.note_reload(is_successful=True)
                self._logger.info("config.reloaded")
            answer(waiting, ())
            return generation

    def _is_settled(self) -> bool:
        """Whether every collector of this generation has ended a collection, or its time is over."""
        now = self._clock.monotonic()
        return all(watch.is_settled(self._generation_began, now) for watch in self._watches.values())

    async def _open(self, settings: ExporterSettings) -> Generation:
        """Opens a configuration's sources."""
        async with AsyncExitStack() as stack:
            main = await stack.enter_async_context(opened(settings, self._clock))
            sources = {}
            for name in settings.deployments:
                sources[name] = await stack.enter_async_context(opened(settings.watching(name), self._clock))
            # Last: a configuration that is rejected must not change what discovery remembers.
            bouncers = await self._discovery.find(settings, main)
            self.publisher.note_discovery(self._discovery)
            found = settings.model_copy(update={"bouncers": bouncers})
            sources[""] = replace(main, settings=found, vanished=self._discovery.vanished)
            return Generation(settings, sources, stack.pop_all())
