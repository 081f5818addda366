"""Learns when scrapers come, so that collections can end just before a scrape. No I/O, no task, no clock.

Prometheus keeps its interval within milliseconds, so the next scrape can be predicted. Each scraper (address, program,
query) has an interval and a phase, both smoothed exponentially. Two servers behind one address look like one frequent
scraper. Each keeps its connection, so connections are followed too, and take precedence. If no scraper is regular, or
more than two come at different times, there is no plan and collectors keep their own interval.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

SCRAPERS_MAX = 32
INTERVAL_WEIGHT = 0.2
PHASE_WEIGHT = 0.3
SURE_AFTER = 4
"""Arrivals before a scraper counts as regular: three intervals that agree."""
DEVIATION_SHARE = 0.05
DEVIATION_MAX_SECONDS = 0.25
INTERVAL_MIN_SECONDS = 0.5
INTERVAL_MAX_SECONDS = 600.0
GONE_INTERVALS = 2.5
SAME_PHASE_SECONDS = 0.25
SAME_PERIOD_SHARE = 0.02
DISTINCT_MAX = 2
SLACK_SHARE = 0.05
SLACK_MAX_SECONDS = 0.5
"""How much earlier than its interval a collection may be due, so that a scraper's jitter does not skip one."""


@dataclass(slots=True)
class ScraperTiming:
    """One scraper's arrivals. Times are monotonic seconds."""

    last: float
    phase: float
    """The expected time of its last arrival, smoothed."""
    interval: float | None = None
    deviation: float = math.inf
    arrivals: int = 1

    def observe(self, now: float) -> None:
        """Records an arrival; missed arrivals in between are allowed."""
        gap, self.last = now - self.last, now
        self.arrivals += 1
        if self.interval is None:
            self.interval, self.phase, self.deviation = gap, now, 0.0
            return
        passed = max(1, round(gap / self.interval)) if self.interval > 0 else 1
        error = gap / passed - self.interval
        self.deviation += INTERVAL_WEIGHT * (abs(error) - self.deviation)
        self.interval += INTERVAL_WEIGHT * error
        expected = self.phase + passed * self.interval
        self.phase = expected + PHASE_WEIGHT * (now - expected)

    def period(self, now: float) -> float | None:
        """Its interval if it is regular and still comes, otherwise None."""
        if self.interval is None or self.arrivals < SURE_AFTER:
            return None
        is_regular = self.deviation <= min(DEVIATION_MAX_SECONDS, DEVIATION_SHARE * self.interval)
        is_there = now - self.last <= GONE_INTERVALS * self.interval
        is_usual = INTERVAL_MIN_SECONDS <= self.interval <= INTERVAL_MAX_SECONDS
        return self.interval if is_regular and is_there and is_usual else None


@dataclass(frozen=True, slots=True)
class ScrapePlan:
    """When scrapes come: at `anchor` and every `period` seconds before and after."""

    anchor: float
    period: float

    def next_end(self, interval: float, *, not_before: float, last_end: float) -> float:
        """When the next collection should end: at a scrape, or evenly between two where the interval is shorter.

        At least about `interval` after `last_end`, so that there is never more than one collection in an interval.
        """
        parts = max(1, int(self.period / interval + SAME_PERIOD_SHARE))
        step = self.period / parts
        slack = min(SLACK_SHARE * interval, SLACK_MAX_SECONDS)
        earliest = max(last_end + interval - slack, not_before)
        return self.anchor + math.ceil((earliest - self.anchor) / step) * step


class Scrapers:
    """Every scraper that came lately."""

    def __init__(self) -> None:
        self._rhythms: OrderedDict[str, ScraperTiming] = OrderedDict()
        self._connections: OrderedDict[tuple[str, int], ScraperTiming] = OrderedDict()
        """Kept separately, so that many short connections do not push out a scraper."""

    def observe(self, scraper: str, now: float, connection: int | None = None) -> None:
        """A scrape begins; `connection` is the peer's port, None when it is not known."""
        _note(self._rhythms, scraper, now)
        if connection is not None:
            _note(self._connections, (scraper, connection), now)

    def plan(self, now: float) -> ScrapePlan | None:
        """When to expect scrapes; None if no scraper is regular or too many disagree."""
        found: list[ScrapePlan] = []
        for plan in self._regular(now):
            if not any(_agree(plan, other) for other in found):
                found.append(plan)
        if not found or len(found) > DISTINCT_MAX:
            return None
        return min(found, key=lambda plan: (plan.period, 0.0)) if not _same_period(found) else _earlier(found)

    def _regular(self, now: float) -> Iterator[ScrapePlan]:
        """The plan of each regular connection, then of each regular scraper that has none."""
        kept: set[str] = set()
        for (scraper, _), rhythm in self._connections.items():
            if (period := rhythm.period(now)) is not None:
                kept.add(scraper)
                yield ScrapePlan(rhythm.phase, period)
        for scraper, rhythm in self._rhythms.items():
            if scraper not in kept and (period := rhythm.period(now)) is not None:
                yield ScrapePlan(rhythm.phase, period)


K = TypeVar("K", str, tuple[str, int])


def _note(rhythms: OrderedDict[K, ScraperTiming], key: K, now: float) -> None:
    """Records an arrival; the scraper that came longest ago is dropped if there are too many."""
    rhythm = rhythms.get(key)
    if rhythm is None:
        rhythms[key] = ScraperTiming(now, now)
        if len(rhythms) > SCRAPERS_MAX:
            rhythms.popitem(last=False)
        return
    rhythms.move_to_end(key)
    rhythm.observe(now)


def _agree(one: ScrapePlan, other: ScrapePlan) -> bool:
    """Whether two scrapers come at the same times."""
    if not _same_period([one, other]):
        return False
    apart = (other.anchor - one.anchor) % one.period
    return min(apart, one.period - apart) <= SAME_PHASE_SECONDS


def _same_period(plans: list[ScrapePlan]) -> bool:
    """Whether all have the same interval."""
    periods = [plan.period for plan in plans]
    return max(periods) - min(periods) <= SAME_PERIOD_SHARE * min(periods)


def _earlier(plans: list[ScrapePlan]) -> ScrapePlan:
    """The scraper before which to collect: the one that the other follows soonest, so that both see recent values."""
    if len(plans) == 1:
        return plans[0]
    one, other = plans
    return one if (other.anchor - one.anchor) % one.period <= one.period / 2 else other
