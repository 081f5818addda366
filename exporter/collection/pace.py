"""Decides when a collector collects next: by its interval, before the next scrape, or when a scrape asks.

In every mode, a collector that keeps failing runs less and less often, until a component comes back. After its first
failures, a collector with a long interval runs again sooner, so that a short fault does not cost it a whole interval.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from chassis.clock import Clock
from exporter.collection.scrape_phase import Scrapers
from exporter.results.record import BREAKER_FAILURES, CollectionOutcome

BACKOFF_AFTER = 2
"""Failures in a row before the pause grows."""
BACKOFF_MAX_SECONDS = 60.0
RETRY_SECONDS = 15.0
"""Pause after the first failure of a collector with a longer interval; doubled by each failure, up to the interval."""
REVIVAL_CHECK_SECONDS = 5.0
"""How often a failing collector checks whether a component came back. Small, so that it notices soon; the collectors
start at different moments within this time, so that they do not all query at once.
"""
BACKOFF_JITTER = 0.2
MARGIN_SECONDS = 0.25
"""How long before a scrape a collection should end: publishing takes 50 ms, and the machine may be busy."""
LEAD_MAX_SHARE = 0.8
PHASE_SPREAD_SHARE, PHASE_SPREAD_MAX_SECONDS = 0.15, 2.0
"""Starts before a scrape are spread over at most this share of the time between two scrapes. Started together,
collectors would measure each other; each second of spread makes values one second older.
"""
DURATIONS_KEPT = 20
ROUND_GRACE_SECONDS = 0.5
SCRAPE_RESERVE_SECONDS = 0.5
"""Part of a scrape's timeout that is reserved for the response, as in blackbox_exporter."""
SCRAPE_TIMEOUT_SECONDS = 10.0
"""Prometheus' default timeout, for scrapers that send none."""
SCRAPE_MIN_SECONDS = 0.25
"""A scrape waits at least this long, whatever timeout it sends."""
EXPENSIVE_SECONDS = 60.0
"""A collector with this interval or more is expensive: scrapes do not make it collect more often."""


@dataclass(slots=True)
class CollectorTiming:
    """How one collector's collections went. Times are monotonic seconds."""

    name: str
    interval_seconds: float
    shift_seconds: float = 0.0
    """How much later than its interval the next collection starts; 0 after it was applied once."""
    place: float = 0.0
    """Among the collectors that are spread over a time, from 0 up to 1."""
    began: float = 0.0
    end_wanted: float | None = None
    """The scrape for which the last collection was timed, in phase mode."""
    failures: int = 0
    """Collections in a row that raised."""
    retries: int = 0
    """Collections in a row that raised or were incomplete."""
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=DURATIONS_KEPT))

    def note(self, outcome: CollectionOutcome) -> None:
        """Takes over how a collection ended."""
        self.began = outcome.began_monotonic
        self.durations.append(outcome.duration_seconds)
        self.failures = self.failures + 1 if outcome.admitted is None else 0
        self.retries = self.retries + 1 if outcome.reason is not None else 0

    def take_shift(self) -> float:
        """The shift, once, after a success: it does not delay a collector that failed."""
        if self.retries:
            return 0.0
        shift, self.shift_seconds = self.shift_seconds, 0.0
        return shift

    def lead_seconds(self) -> float:
        """How long before a scrape to begin: as long as all but the slowest of the last collections took."""
        slow = sorted(self.durations)[:-1] or list(self.durations)
        return MARGIN_SECONDS + (slow[-1] if slow else 0.0)

    def backoff_seconds(self, spread: float) -> float:
        """The distance of the next start from the last; `spread` is a number from 0 to 1.

        It is the interval after a success, less after the first failures of a long interval, and more after many.
        """
        if self.retries and (soon := RETRY_SECONDS * 2.0 ** min(self.retries - 1, 10)) < self.interval_seconds:
            return soon
        if self.failures <= BACKOFF_AFTER:
            return self.interval_seconds
        most = max(self.interval_seconds, BACKOFF_MAX_SECONDS)
        grown = self.interval_seconds * 2 ** min(self.failures - BACKOFF_AFTER, 10)
        wanted = most if self.failures >= BREAKER_FAILURES else min(most, grown)
        return max(self.interval_seconds, min(most, wanted * (1 - BACKOFF_JITTER + 2 * BACKOFF_JITTER * spread)))


@dataclass(slots=True)
class RecoveryCounter:
    """Knows when a component last came back: collectors that failed before then run again soon."""

    last_monotonic: float | None = None
    """End of the last collection in which a component came back up; None before the first."""
    _up: dict[str, bool] = field(default_factory=dict)

    def note(self, outcome: CollectionOutcome) -> None:
        """Records which components a collection found up or down."""
        for component, is_up in outcome.components.items():
            if is_up and self._up.get(component) is False:
                self.last_monotonic = outcome.began_monotonic + outcome.duration_seconds
            self._up[component] = is_up

    def is_news_for(self, course: CollectorTiming) -> bool:
        """Whether a component came back after the collector's last collection began, and that one failed."""
        return course.retries > 0 and self.last_monotonic is not None and self.last_monotonic > course.began


class Pace:
    """Mode `interval`: the next collection starts an interval after the last one started."""

    def __init__(self, clock: Clock, spread: Callable[[], float]) -> None:
        self.clock = clock
        self.revivals = RecoveryCounter()
        self._spread = spread

    async def rest(self, course: CollectorTiming) -> None:
        """Returns when the collector should collect again: for one that failed, also when a component came back."""
        distance = course.backoff_seconds(self._spread())
        is_regular = distance == course.interval_seconds
        until = self.next_start(course) if is_regular else course.began + distance
        if not course.retries:
            await self.clock.sleep(until - self.clock.monotonic())
            return
        while not self.revivals.is_news_for(course) and (left := until - self.clock.monotonic()) > 0:
            await self.clock.sleep(min(REVIVAL_CHECK_SECONDS, left))

    def next_start(self, course: CollectorTiming) -> float:
        """When the next collection starts; may be past."""
        return course.began + course.interval_seconds + course.take_shift()

    def deadline_seconds(self, timeout_seconds: float) -> float:
        """How long a collection that starts now may take."""
        return timeout_seconds

    def end(self, course: CollectorTiming, outcome: CollectionOutcome) -> None:
        """A collection ended."""
        self.revivals.note(outcome)
        course.note(outcome)


class PhasePace(Pace):
    """Mode `phase`: collections end just before the next scrape; by interval while no scraper is regular."""

    def __init__(self, clock: Clock, spread: Callable[[], float], scrapers: Scrapers) -> None:
        super().__init__(clock, spread)
        self._scrapers = scrapers

    def next_start(self, course: CollectorTiming) -> float:
        """Starts before the scrape by the collector's usual duration, at another moment than the other collectors."""
        now = self.clock.monotonic()
        plan, lead = self._scrapers.plan(now), course.lead_seconds()
        last_end = course.began + lead if course.end_wanted is None else course.end_wanted
        if plan is None or lead > LEAD_MAX_SHARE * (shortest := min(plan.period, course.interval_seconds)):
            course.end_wanted = None
            return super().next_start(course)
        lead += course.place * min(PHASE_SPREAD_SHARE * shortest, PHASE_SPREAD_MAX_SECONDS)
        end = plan.next_end(course.interval_seconds, not_before=now + lead, last_end=last_end)
        course.end_wanted = end
        return end - lead


class ScrapePace(Pace):
    """Mode `on-scrape`: a scrape starts the due collections, and waits for them and for running ones."""

    def __init__(self, clock: Clock, spread: Callable[[], float], least_seconds: float) -> None:
        super().__init__(clock, spread)
        self._least_seconds = least_seconds
        self._waiting: dict[str, tuple[CollectorTiming, asyncio.Event]] = {}
        self._running: set[str] = set()
        self._ended = asyncio.Event()
        self._deadline = 0.0
        """When all that runs must have ended by its own deadline."""
        self._longest_seconds = 0.0

    async def scrape(self, timeout_seconds: float | None) -> None:
        """Runs every due collection; returns when they ended or the scraper is about to give up.

        The scraper's timeout limits only the wait. A collection goes on until its own deadline; otherwise an impatient
        scraper would make every slow backend look down.
        """
        timeout = SCRAPE_TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        seconds = max(timeout - SCRAPE_RESERVE_SECONDS, timeout / 2, SCRAPE_MIN_SECONDS)
        now = self.clock.monotonic()
        if self._running and now > self._deadline + ROUND_GRACE_SECONDS:
            self._running.clear()  # a collection that cannot be cancelled delays no later scrape
        self._start(now)
        if not self._running:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Releases waiting scrapes: the collectors end."""
        self._running.clear()
        self._ended.set()

    async def rest(self, course: CollectorTiming) -> None:
        """Returns when a scrape wants this collector's values."""
        wake = asyncio.Event()
        self._waiting[course.name] = (course, wake)
        self._leave(course.name)
        try:
            await wake.wait()
        finally:
            self._waiting.pop(course.name, None)

    def deadline_seconds(self, timeout_seconds: float) -> float:
        """The collector's own deadline, whatever the scrape's is."""
        self._longest_seconds = max(self._longest_seconds, timeout_seconds)
        self._deadline = max(self._deadline, self.clock.monotonic() + timeout_seconds)
        return timeout_seconds

    def _start(self, now: float) -> None:
        """Wakes the collectors that are due; those that still run go on."""
        due = [name for name, (course, _) in self._waiting.items() if now - course.began >= self._least(course)]
        if due and not self._running:
            self._ended = asyncio.Event()
        for name in due:
            self._running.add(name)
            self._waiting[name][1].set()
            self._deadline = now + self._longest_seconds

    def _least(self, course: CollectorTiming) -> float:
        """The least distance between two collections of a collector."""
        if self.revivals.is_news_for(course):
            return self._least_seconds
        if course.failures > BACKOFF_AFTER or course.interval_seconds >= EXPENSIVE_SECONDS:
            return course.backoff_seconds(0.5)
        return self._least_seconds

    def _leave(self, name: str) -> None:
        """The collector has ended its part of the round."""
        self._running.discard(name)
        if not self._running:
            self._ended.set()
