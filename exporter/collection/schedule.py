"""Runs every collector on its own task, at its own pace, under its own deadline.

A collector never overlaps itself: by interval, the next collection starts an interval after the last one started, or at
once when that took longer. A collector that fails, hangs or dies affects no other. This module is the collector
boundary: only it turns an exception into a reason.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

from chassis.clock import Clock
from chassis.errors import BackendError, Reason
from exporter.collection.pace import CollectorTiming, Pace
from exporter.collector import Collector, CollectorSettings, CollectorSpec, NotConfiguredError, Result
from exporter.items import counting
from exporter.metrics import plain_word
from exporter.results.limits import Admitted, Budget, SeriesBudget, admit
from exporter.results.record import AccessRefusal, CollectionOutcome
from exporter.settings import MAX_SERIES
from exporter.sources.sources import Sources

JITTER_SHARE = 0.1
JITTER_MAX_SECONDS = 0.5
"""Starts are spread a little, so that ten exporters that start together do not query together."""
SHIFT_MAX_SECONDS = 5.0
"""From their second collection on, collectors are spread over this time, or over their interval if that is shorter.
Most intervals are multiples of it: without a shift, collectors would always start together, and waiting for each other
would count as the backend's time.
"""
CLOSE_SECONDS = 3.0
MESSAGE_LENGTH = 300
THREAD_FROM_SERIES = 5000
"""Results of this size or more are checked in a thread; smaller ones take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Job:
    """A collector that is to run, with its settings."""

    spec: CollectorSpec
    settings: CollectorSettings


class Observer(Protocol):
    """Gets the events of collectors; its methods return at once."""

    def begin(self, name: str, now_monotonic: float) -> None:
        """A collection begins."""
        ...

    def skip(self, name: str, missing: str) -> None:
        """The collector's source is not configured; it will not run. `missing` names the setting."""
        ...

    def finish(self, outcome: CollectionOutcome) -> None:
        """A collection ended."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """What all collectors' tasks share."""

    sources: Sources
    budget: Budget
    observer: Observer
    spread: Callable[[], float] = field(default=random.random)
    """A number from 0 to 1 for each collector's first delay."""
    pace: Pace | None = None
    """When collectors collect again; None means by interval."""
    pool: SeriesBudget = field(default_factory=lambda: SeriesBudget(MAX_SERIES))
    """The budget that all collectors share."""
    large: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a large result is checked, since others are checked meanwhile."""

    async def run(self, jobs: Sequence[Job]) -> None:
        """Runs the collectors until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, job in enumerate(jobs):
                group.create_task(self._keep(job, number / len(jobs)), name=f"collector.{job.spec.name}")

    async def collect_once(self, job: Job) -> CollectionOutcome:
        """One collection, from opening the collector to closing it. Raises NotConfiguredError."""
        began, seconds = _Start(self.sources.clock), job.settings.timeout_seconds
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    collector = await stack.enter_async_context(job.spec.open(job.settings, self.sources))
            except NotConfiguredError:
                raise
            except Exception as error:  # noqa: BLE001 - the collector boundary
                return began.failed(job, error)
            return await self._collect(job, collector, _Start(self.sources.clock), seconds)

    async def _keep(self, job: Job, place: float) -> None:
        """Opens the collector and collects until cancelled; a collector that cannot be opened is tried again."""
        clock = self.sources.clock
        pace = self.pace or Pace(clock, self.spread)
        shift = min(SHIFT_MAX_SECONDS, job.settings.interval_seconds) * place
        course = CollectorTiming(job.spec.name, job.settings.interval_seconds, shift, place)
        await clock.sleep(self.spread() * min(JITTER_MAX_SECONDS, JITTER_SHARE * job.settings.interval_seconds))
        while True:
            began = _Start(clock)
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(job.settings.timeout_seconds):
                        collector = await stack.enter_async_context(job.spec.open(job.settings, self.sources))
                except NotConfiguredError as missing:
                    self.observer.skip(job.spec.name, str(missing))
                    return
                except Exception as error:  # noqa: BLE001 - the collector boundary
                    self._finish(began.failed(job, error), pace, course)
                else:
                    await self._collect_forever(job, collector, pace, course)
            await pace.rest(course)

    async def _collect_forever(self, job: Job, collector: Collector, pace: Pace, course: CollectorTiming) -> None:
        """Collects at the collector's pace; after a collection longer than that, the next one starts at once."""
        while True:
            began = _Start(self.sources.clock)
            self.observer.begin(job.spec.name, began.monotonic)
            deadline = pace.deadline_seconds(job.settings.timeout_seconds)
            self._finish(await self._collect(job, collector, began, deadline), pace, course)
            await pace.rest(course)

    def _finish(self, outcome: CollectionOutcome, pace: Pace, course: CollectorTiming) -> None:
        """Passes the result of a collection to the observers."""
        self.observer.finish(outcome)
        pace.end(course, outcome)

    async def _collect(self, job: Job, collector: Collector, began: _Start, deadline: float) -> CollectionOutcome:
        """One collection under its deadline, as an outcome with what was dropped on the way."""
        with counting() as losses:
            return replace(await self._try(job, collector, began, deadline), losses=losses)

    async def _try(self, job: Job, collector: Collector, began: _Start, deadline: float) -> CollectionOutcome:
        """The same without what was dropped."""
        try:
            async with asyncio.timeout(deadline):
                result = await collector.collect()
            return began.ended(job, result, await self._admit(job, result))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # A library let its own cancellation escape. This task was not cancelled; ending here would lose the
            # collector silently.
            return began.failed(job, error)
        except Exception as error:  # noqa: BLE001 - the collector boundary
            return began.failed(job, error)

    async def _admit(self, job: Job, result: Result) -> Admitted:
        """The part of the result that may be published; many series are checked in a thread, so that scrapes go on."""
        if sum(len(family.samples) + len(family.distributions) for family in result.families) < THREAD_FROM_SERIES:
            admitted = admit(job.spec, result.families, self.pool.share(job.spec.name, self.budget))
            self.pool.note(job.spec.name, admitted)
            return admitted
        # One large result at a time: two would both get the remaining budget.
        async with self.large:
            share = self.pool.share(job.spec.name, self.budget)
            admitted = await asyncio.to_thread(admit, job.spec, result.families, share)
            self.pool.note(job.spec.name, admitted)
        return admitted


class _Start:
    """A start time on both clocks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wall = clock.now()
        self.monotonic = clock.monotonic()

    def elapsed(self) -> float:
        """Seconds since then."""
        return self._clock.monotonic() - self.monotonic

    def failed(self, job: Job, error: BaseException) -> CollectionOutcome:
        """The outcome of a collection that raised."""
        reason = reason_of(error)
        return CollectionOutcome(
            job.spec.name, self.wall, self.monotonic, self.elapsed(), reason=reason, message=describe(error, reason)
        )

    def ended(self, job: Job, result: Result, admitted: Admitted) -> CollectionOutcome:
        """The outcome of a collection that ended, perhaps with a failure in it."""
        failure = result.failure
        reason = None if failure is None else reason_of(failure)
        message = "" if failure is None or reason is None else describe(failure, reason)
        components = dict(result.components)
        versions = {component: plain_word(version) for component, version in result.versions.items()}
        refused = {
            name: AccessRefusal(error.reason, describe(error, error.reason)) for name, error in result.refused.items()
        }
        return CollectionOutcome(
            job.spec.name, self.wall, self.monotonic, self.elapsed(), admitted, components, reason, message, versions,
            refused=refused,
        )  # fmt: skip


def reason_of(error: BaseException) -> Reason:
    """The reason for metrics; in a group the first member that has one. A bug of ours is `internal`."""
    if isinstance(error, BackendError):
        return error.reason
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, BaseExceptionGroup):
        reasons = [reason_of(member) for member in error.exceptions]
        return next((reason for reason in reasons if reason is not Reason.INTERNAL), Reason.INTERNAL)
    return Reason.INTERNAL


def describe(error: BaseException, reason: Reason) -> str:
    """The error's text, bounded; for a bug of ours also its location."""
    text = str(error) or type(error).__name__
    if reason is Reason.TIMEOUT and not str(error):
        text = "no answer within the deadline"
    if reason is Reason.INTERNAL:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""
        text = f"{type(error).__name__}: {text}{where}"
    return " ".join(text.split())[:MESSAGE_LENGTH]
