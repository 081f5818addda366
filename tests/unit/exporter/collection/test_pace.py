from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from chassis.errors import Reason, TransientError
from exporter.collection.pace import SCRAPE_MIN_SECONDS, CollectorTiming, Pace, PhasePace, ScrapePace
from exporter.collection.schedule import Job, Schedule
from exporter.collection.scrape_phase import Scrapers
from exporter.collector import CollectorSettings, Result
from exporter.results.limits import Budget
from exporter.results.record import CollectionOutcome
from exporter.sources.sources import Sources
from tests.fakes.clock import ManualClock, settle
from tests.fakes.collector import UP, ScriptedCollector
from tests.fakes.waiting import until

FINE = Result((UP.value(1),))
REFUSED = TransientError(Reason.REFUSED, "nobody listens")


class Notes:
    """When collections began and ended."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.begun: list[tuple[str, float]] = []
        self.ended: list[tuple[str, float, Reason | None]] = []

    def begin(self, name: str, now_monotonic: float) -> None:
        self.begun.append((name, now_monotonic))

    def skip(self, name: str, _missing: str = "") -> None:
        raise AssertionError(name)

    def finish(self, outcome: CollectionOutcome) -> None:
        self.ended.append((outcome.collector, self.clock.monotonic(), outcome.reason))

    def starts(self, name: str = "example") -> list[float]:
        return [at for found, at in self.begun if found == name]


@asynccontextmanager
async def running(clock: ManualClock, pace: Pace, *jobs: Job) -> AsyncIterator[Notes]:
    notes = Notes(clock)
    sources = Sources(clock=clock, settings=cast("Any", None), http=cast("Any", None))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Schedule(sources, Budget(), notes, lambda: 0.0, pace).run(jobs))
        await settle()
        yield notes
        task.cancel()


def job(collector: ScriptedCollector, name: str = "example", interval: float = 10.0, timeout: float = 5.0) -> Job:
    return Job(collector.spec(name), CollectorSettings(interval_seconds=interval, timeout_seconds=timeout))


def middle() -> float:
    return 0.5


async def test_failing_collector_is_asked_less_and_less_often_up_to_a_minute() -> None:
    clock = ManualClock(monotonic=0.0)
    async with running(clock, Pace(clock, middle), job(ScriptedCollector([REFUSED]))) as notes:
        await clock.advance(300.0)
    starts = notes.starts()
    assert [round(after - before) for before, after in itertools.pairwise(starts)] == [
        10, 10, 20, 40, 60, 60, 60,
    ]  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_backoff_is_jittered_and_bounded(spread: float) -> None:
    course = CollectorTiming("example", 10.0, failures=4)
    assert course.backoff_seconds(spread) == pytest.approx(40.0 * (0.8 + 0.4 * spread))
    assert CollectorTiming("example", 10.0, failures=50).backoff_seconds(1.0) == 60.0
    assert CollectorTiming("example", 300.0, failures=50).backoff_seconds(0.0) == 300.0


async def test_recovered_collector_keeps_its_interval_again() -> None:
    clock = ManualClock(monotonic=0.0)
    steps = [REFUSED] * 4 + [FINE]
    async with running(clock, Pace(clock, middle), job(ScriptedCollector(steps))) as notes:
        await clock.advance(120.0)
    assert notes.starts()[3:] == [40.0, 80.0, 90.0, 100.0, 110.0, 120.0]


async def test_component_that_comes_back_ends_every_backoff() -> None:
    clock = ManualClock(monotonic=0.0)
    down, up = Result((), {"database": False}), Result((), {"database": True})
    canary = ScriptedCollector([down] * 12 + [up])
    victim = ScriptedCollector([REFUSED])
    async with running(clock, Pace(clock, middle), job(canary, "canary"), job(victim, "victim")) as notes:
        await clock.advance(125.0)
    late = [at for at in notes.starts("victim") if at > 100.0]
    assert late == [120.0]


@pytest.mark.parametrize("interval", [60.0, 300.0])
async def test_long_interval_is_asked_soon_after_its_component_came_back(interval: float) -> None:
    """P7: one failure in an outage of 75 s cost a collector of 300 s its whole interval, and an alert fired."""
    clock = ManualClock(monotonic=0.0)
    down, up = Result((), {"database": False}), Result((), {"database": True})
    canary, victim = ScriptedCollector([up]), ScriptedCollector([FINE])
    jobs = (job(victim, "victim", interval=interval), job(canary, "canary"))
    async with running(clock, Pace(clock, middle), *jobs) as notes:
        await clock.advance(interval - 1.0)
        canary.steps, victim.steps = [down], [REFUSED]
        await clock.advance(80.0)
        failed = [at for at in notes.starts("victim") if at >= interval]
        assert failed == [interval, interval + 15.0, interval + 45.0]
        canary.steps, victim.steps = [up], [FINE]
        back = clock.monotonic()
        await clock.advance(20.0)
    assert back < notes.starts("victim")[-1] <= back + 15.0


@pytest.mark.parametrize(
    ("failures_in_a_row", "expected"), [(0, 300.0), (1, 15.0), (2, 30.0), (3, 60.0), (5, 240.0), (6, 300.0)]
)
def test_failures_of_a_long_interval_are_retried_soon_and_then_less_often(
    failures_in_a_row: int, expected: float
) -> None:
    """P7: even if no probe shows that the component is back, as for OPAL or the Kubernetes API."""
    course = CollectorTiming("example", 300.0, failures=failures_in_a_row, retries=failures_in_a_row)
    assert expected == course.backoff_seconds(0.5)


def test_incomplete_collection_is_retried_soon_too() -> None:
    """P7: a collection with values and a failure is not a success either."""
    assert CollectorTiming("example", 300.0, retries=1).backoff_seconds(0.5) == 15.0


async def test_scrape_has_a_failed_expensive_collector_collected_again_soon() -> None:
    """P7: mode on-scrape made the same collector wait for its interval."""
    clock = ManualClock(monotonic=0.0)
    pace, collector = ScrapePace(clock, middle, 1.0), ScriptedCollector([REFUSED, FINE])
    async with running(clock, pace, job(collector, interval=300.0)) as notes:
        for _ in range(5):
            await clock.advance(10.0)
            await pace.scrape(10.0)
    assert notes.starts() == [0.0, 20.0]


async def test_phase_ends_collections_just_before_the_scrape() -> None:
    clock, scrapers = ManualClock(monotonic=0.0), Scrapers()

    async def slow() -> Result:
        await clock.sleep(2.0)
        return FINE

    pace = PhasePace(clock, middle, scrapers)
    ages: list[float] = []
    async with running(clock, pace, job(ScriptedCollector([slow]), interval=15.0)) as notes:
        await clock.advance(7.0)
        for _ in range(20):
            scrapers.observe("prometheus", clock.monotonic())
            ages.append(clock.monotonic() - notes.ended[-1][1])
            await clock.advance(15.0)
    assert max(ages[6:]) < 0.5
    starts = notes.starts()
    assert min(after - before for before, after in itertools.pairwise(starts)) >= 0.9 * 15.0


async def test_collectors_start_apart_before_a_scrape() -> None:
    """Side by side each would wait for the others, and a probe would call that its backend's time."""
    clock, scrapers = ManualClock(monotonic=0.0), Scrapers()
    names = ("one", "two", "three", "four")
    jobs = [job(ScriptedCollector([FINE]), name, interval=15.0) for name in names]
    async with running(clock, PhasePace(clock, middle, scrapers), *jobs) as notes:
        await clock.advance(7.0)
        for _ in range(8):
            scrapers.observe("prometheus", clock.monotonic())
            await clock.advance(15.0)
    before = [clock.monotonic() - notes.starts(name)[-1] for name in names]
    assert before == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=0.1)
    for name in names:
        assert min(after - earlier for earlier, after in itertools.pairwise(notes.starts(name))) >= 0.8 * 15.0


async def test_pair_of_scrapers_costs_no_more_collections_than_one() -> None:
    clock, scrapers = ManualClock(monotonic=0.0), Scrapers()
    collector = ScriptedCollector([FINE])
    async with running(clock, PhasePace(clock, middle, scrapers), job(collector, interval=15.0)) as notes:
        for _ in range(40):
            scrapers.observe("one", clock.monotonic())
            await clock.advance(5.0)
            scrapers.observe("two", clock.monotonic())
            await clock.advance(10.0)
    starts = notes.starts()
    assert len(starts) <= 600 / 15 + 2
    assert min(after - before for before, after in itertools.pairwise(starts)) >= 14.0


async def test_phase_without_a_regular_scraper_keeps_the_interval() -> None:
    clock = ManualClock(monotonic=0.0)
    async with running(clock, PhasePace(clock, middle, Scrapers()), job(ScriptedCollector([FINE]))) as notes:
        await clock.advance(35.0)
    assert notes.starts() == [0.0, 10.0, 20.0, 30.0]


async def test_scrape_has_everything_collected_and_waits_for_it() -> None:
    clock = ManualClock(monotonic=0.0)
    pace = ScrapePace(clock, middle, 1.0)
    collectors = [ScriptedCollector([FINE]) for _ in range(3)]
    jobs = [job(collector, f"c{number}") for number, collector in enumerate(collectors)]
    async with running(clock, pace, *jobs) as notes:
        await clock.advance(60.0)
        assert [len(notes.starts(f"c{number}")) for number in range(3)] == [1, 1, 1]
        await pace.scrape(10.0)
        assert [notes.starts(f"c{number}")[1:] for number in range(3)] == [[60.0]] * 3


async def test_scrapes_at_once_share_one_round() -> None:
    clock = ManualClock(monotonic=0.0)
    pace, released = ScrapePace(clock, middle, 1.0), asyncio.Event()

    async def wait() -> Result:
        await released.wait()
        return FINE

    collector = ScriptedCollector([FINE, wait])
    async with running(clock, pace, job(collector)):
        await clock.advance(60.0)
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(pace.scrape(10.0))
            await settle()
            released.set()
        assert (collector.collected, collector.most_running) == (2, 1)


@pytest.mark.looptime
@pytest.mark.parametrize("timeout_seconds", [0.6, 0.002, 1e-300])
async def test_scraper_in_a_hurry_turns_no_healthy_backend_into_a_failed_one(timeout_seconds: float) -> None:
    """S4: the scrape ends in time; the slow collection continues under its own deadline and succeeds."""
    clock = ManualClock(monotonic=0.0)
    pace, released = ScrapePace(clock, middle, 1.0), asyncio.Event()

    async def wait() -> Result:
        await released.wait()
        return FINE

    jobs = [job(ScriptedCollector([FINE, wait]), "slow", timeout=30.0), job(ScriptedCollector([FINE]), "quick")]
    async with running(clock, pace, *jobs) as notes:
        await clock.advance(60.0)
        began = asyncio.get_running_loop().time()
        await pace.scrape(timeout_seconds)
        assert asyncio.get_running_loop().time() - began <= max(0.5, SCRAPE_MIN_SECONDS)
        await settle()
        assert (len(notes.starts("quick")), len(notes.starts("slow"))) == (2, 2)
        released.set()
        await until(lambda: len([end for end in notes.ended if end[0] == "slow"]) == 2)
        assert [reason for name, _, reason in notes.ended if name == "slow"] == [None, None]


async def test_collector_that_still_runs_does_not_keep_the_others_from_the_next_scrape() -> None:
    """S4: a collection may outlast its scrape, which must not make the other values old."""
    clock = ManualClock(monotonic=0.0)
    pace = ScrapePace(clock, middle, 1.0)

    async def hang() -> Result:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    jobs = [job(ScriptedCollector([FINE, hang]), "slow", timeout=30.0), job(ScriptedCollector([FINE]), "quick")]
    async with running(clock, pace, *jobs) as notes:
        await clock.advance(60.0)
        for _ in range(3):
            await pace.scrape(0.002)
            await clock.advance(5.0)
        assert notes.starts("quick")[1:] == [60.0, 65.0, 70.0]
        assert notes.starts("slow")[1:] == [60.0]


async def test_young_values_answer_another_scrape() -> None:
    clock = ManualClock(monotonic=0.0)
    pace, collector = ScrapePace(clock, middle, 1.0), ScriptedCollector([FINE])
    async with running(clock, pace, job(collector)):
        await clock.advance(60.0)
        for _ in range(5):
            await pace.scrape(10.0)
        assert collector.collected == 2


async def test_expensive_collector_keeps_its_interval_whoever_scrapes() -> None:
    clock = ManualClock(monotonic=0.0)
    pace, collector = ScrapePace(clock, middle, 1.0), ScriptedCollector([FINE])
    async with running(clock, pace, job(collector, interval=300.0)) as notes:
        for _ in range(40):
            await clock.advance(10.0)
            await pace.scrape(10.0)
    assert notes.starts() == [0.0, 300.0]


async def test_end_of_the_collectors_lets_waiting_scrapes_go() -> None:
    clock = ManualClock(monotonic=0.0)
    pace = ScrapePace(clock, middle, 1.0)

    async def hang() -> Result:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with running(clock, pace, job(ScriptedCollector([FINE, hang]))), asyncio.TaskGroup() as group:
        await clock.advance(60.0)
        waiting = group.create_task(pace.scrape(1000.0))
        await settle()
        assert not waiting.done()
        pace.close()
