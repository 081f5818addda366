"""One watched installation: its results, its page, and its collectors."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter import self_metrics
from exporter.collection.pace import Pace, PhasePace, ScrapePace
from exporter.collection.schedule import Job, Schedule
from exporter.collection.scrape_phase import Scrapers
from exporter.commands.configuration import collector_settings
from exporter.exposition.publisher import Publisher, Snapshot
from exporter.results.change_log import StateLog
from exporter.results.ledger import Ledger
from exporter.results.limits import Budget, SeriesBudget
from exporter.results.record import CollectorRecord, CollectorState
from exporter.settings import ExporterSettings
from exporter.sources.kept_state import KeptState
from exporter.sources.product_zone import ZoneMeter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from chassis.clock import Clock
    from exporter.collector import CollectorSpec
    from exporter.http.server import Scrape
    from exporter.sources.sources import Sources


class Deployment:
    """Lives as long as its deployment is configured.

    A reload changes its collectors and keeps their published values.
    """

    def __init__(self, name: str, specs: tuple[CollectorSpec, ...], clock: Clock, logger: FilteringBoundLogger) -> None:
        """`name` is the deployment's name, or `""` for the one at /metrics."""
        self.name = name
        self.ledger = Ledger()
        log = StateLog(clock, logger.bind(deployment=name) if name else logger)
        self.publisher = Publisher(clock, self.ledger, log, is_process=not name)
        self._specs = specs
        self._clock = clock
        self._scrapers = Scrapers()
        self._pace: Pace | None = None
        self._kept = KeptState()

    def pending(self) -> tuple[str, ...]:
        """The collectors that have not ended a collection."""
        return tuple(record.spec.name for record in self.ledger.records() if record.state is CollectorState.PENDING)

    def is_settled(self, since: float, now: float) -> bool:
        """Whether every collector has ended a collection that began after `since` (monotonic), or its time is over."""
        return all(
            record.state is CollectorState.NOT_CONFIGURED
            or (record.last is not None and record.last.began_monotonic >= since)
            or now - since > record.timeout_seconds + 1.0
            for record in self.ledger.records()
        )

    def owners(self) -> dict[str, str]:
        """The collector of each metric."""
        return {metric.name: record.spec.name for record in self.ledger.records() for metric in record.spec.metrics}

    def jobs(self, settings: ExporterSettings) -> tuple[Job, ...]:
        """The collectors that are switched on and belong to this process' scope."""
        jobs = (Job(spec, collector_settings(settings, spec.name)) for spec in self._specs if settings.runs(spec.scope))
        return tuple(job for job in jobs if job.settings.enabled)

    async def scrape(self, scrape: Scrape) -> Snapshot:
        """The snapshot for an answer; in mode `on-scrape` after a round of collections."""
        if isinstance(self._pace, ScrapePace):
            await self._pace.scrape(scrape.timeout_seconds)
            await self.publisher.publish()
        return self.scrape_now(scrape.scraper, scrape.connection) or self.publisher.snapshot

    def scrape_now(self, scraper: str, connection: int | None) -> Snapshot | None:
        """The snapshot for an immediate answer; None when a collection must run first."""
        pace = self._pace
        if isinstance(pace, PhasePace):
            now = self._clock.monotonic()
            self._scrapers.observe(scraper, now, connection)
            self.publisher.is_phase_locked = self._scrapers.plan(now) is not None
        return None if isinstance(pace, ScrapePace) else self.publisher.snapshot

    async def collect(self, settings: ExporterSettings, sources: Sources) -> None:
        """Runs the collectors of one configuration until cancelled."""
        jobs, now = self.jobs(settings), self._clock.monotonic()
        self.ledger.enrol(
            CollectorRecord(job.spec, job.settings.interval_seconds, job.settings.timeout_seconds, now) for job in jobs
        )
        # Discovered bouncers are in the sources' settings only.
        budget = budget_of(settings, len(sources.settings.bouncers))
        self._pace = pace = self._paced(settings)
        self.publisher.scope = self_metrics.SCOPE_INFO.family({(settings.scope,): 1.0})
        self.publisher.is_phase_locked = False if isinstance(pace, PhasePace) else None
        try:
            await Schedule(
                self._remembering(sources),
                budget,
                self.publisher,
                pace=pace,
                pool=SeriesBudget(settings.limits.max_series),
            ).run(jobs)
        finally:
            if isinstance(pace, ScrapePace):
                pace.close()

    def _remembering(self, sources: Sources) -> Sources:
        """The sources, with the state kept from earlier configurations of this deployment."""
        zone = self._kept.of(ZoneMeter, "product_zone", sources.settings.database.url)
        return replace(sources, kept=self._kept, product_zone=zone)

    async def run(self, settings: ExporterSettings, sources: Sources) -> None:
        """Collects and publishes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(), name=f"publisher.{self.name}")
            group.create_task(self.collect(settings, sources), name=f"collectors.{self.name}")

    def _paced(self, settings: ExporterSettings) -> Pace:
        """The configured pace."""
        collection = settings.collection
        if collection.mode == "phase":
            return PhasePace(self._clock, random.random, self._scrapers)
        if collection.mode == "on-scrape":
            return ScrapePace(self._clock, random.random, collection.on_scrape_min_seconds)
        return Pace(self._clock, random.random)


def budget_of(settings: ExporterSettings, bouncers: int) -> Budget:
    """The limits of each collector, by the number of configured or discovered bouncers."""
    limits = settings.limits
    most = limits.max_series_per_collector + limits.max_series_per_bouncer * bouncers
    return Budget(most, limits.max_label_length, settings.guide_names)
