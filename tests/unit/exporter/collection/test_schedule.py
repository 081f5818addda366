from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from exporter.collection.schedule import THREAD_FROM_SERIES, Job, Schedule, describe, reason_of
from exporter.collector import CollectorSettings, NotConfiguredError, Result
from exporter.results.limits import Budget, SeriesBudget
from exporter.results.record import AccessRefusal, CollectionOutcome
from exporter.sources.sources import Sources
from tests.fakes.clock import ManualClock, settle
from tests.fakes.collector import SIZE, UP, ScriptedCollector, hang
from tools.slowness import scaled

FINE = Result((UP.value(1),))
SETTINGS = CollectorSettings(interval_seconds=10.0, timeout_seconds=5.0)


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float]] = []
        self.skipped: list[str] = []
        self.outcomes: list[CollectionOutcome] = []
        self.ended = asyncio.Event()

    def begin(self, name: str, now_monotonic: float) -> None:
        self.begun.append((name, now_monotonic))

    def skip(self, name: str, _missing: str = "") -> None:
        self.skipped.append(name)

    def finish(self, outcome: CollectionOutcome) -> None:
        self.outcomes.append(outcome)
        self.ended.set()

    @property
    def reasons(self) -> list[Reason | None]:
        return [outcome.reason for outcome in self.outcomes]


@asynccontextmanager
async def running(clock: ManualClock, *jobs: Job, spread: float = 0.0) -> AsyncIterator[Notes]:
    notes = Notes()
    sources = Sources(clock=clock, settings=cast("Any", None), http=cast("Any", None))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Schedule(sources, Budget(), notes, lambda: spread).run(jobs))
        await settle()
        yield notes
        task.cancel()


def job(collector: ScriptedCollector, name: str = "example", settings: CollectorSettings = SETTINGS) -> Job:
    return Job(collector.spec(name), settings)


async def test_collections_start_an_interval_apart() -> None:
    clock = ManualClock(monotonic=100.0)
    async with running(clock, job(ScriptedCollector([FINE]))) as notes:
        await clock.advance(35.0)
    assert [at for _, at in notes.begun] == [100.0, 110.0, 120.0, 130.0]


async def test_collectors_with_one_interval_start_apart_from_their_second_collection_on() -> None:
    """Side by side each would wait for the others, and a probe would call that its backend's time."""
    clock = ManualClock(monotonic=100.0)
    quick = CollectorSettings(interval_seconds=2.0)
    names = ("one", "two", "three", "four")
    jobs = [job(ScriptedCollector([FINE]), name) for name in names]
    async with running(clock, *jobs, job(ScriptedCollector([FINE]), "quick", quick)) as notes:
        await clock.advance(25.0)
    starts = {name: [at for who, at in notes.begun if who == name] for name in names}
    assert starts == {
        "one": [100.0, 110.0, 120.0],
        "two": [100.0, 111.0, 121.0],
        "three": [100.0, 112.0, 122.0],
        "four": [100.0, 113.0, 123.0],
    }
    assert [at for who, at in notes.begun if who == "quick"][:3] == pytest.approx([100.0, 103.6, 105.6])


class Witness(str):
    """A label value that records the thread that reads it."""

    __slots__ = ()
    threads: ClassVar[set[int]] = set()

    def isascii(self) -> bool:
        self.threads.add(threading.get_ident())
        return super().isascii()


@pytest.mark.parametrize(("count", "is_on_loop"), [(10, True), (THREAD_FROM_SERIES, False)])
async def test_many_series_are_checked_beside_the_event_loop(count: int, is_on_loop: bool) -> None:  # noqa: FBT001
    Witness.threads.clear()
    many = Result((SIZE.family(((Witness(number),), 1.0) for number in range(count)),))
    clock = ManualClock(monotonic=100.0)
    async with running(clock, job(ScriptedCollector([many]))) as notes:
        await notes.ended.wait()
    assert (threading.get_ident() in Witness.threads) is is_on_loop
    assert notes.reasons == [None]


async def test_two_large_results_at_once_share_what_all_may_publish() -> None:
    """They are judged in threads: each would be given the room of the other."""
    many = Result((SIZE.family(((f"{number}",), 1.0) for number in range(THREAD_FROM_SERIES)),))
    clock, notes = ManualClock(monotonic=100.0), Notes()
    sources = Sources(clock=clock, settings=cast("Any", None), http=cast("Any", None))
    jobs = [job(ScriptedCollector([many]), name) for name in ("one", "two")]
    budget, pool = Budget(max_series=2 * THREAD_FROM_SERIES), SeriesBudget(THREAD_FROM_SERIES + 10)
    async with asyncio.TaskGroup() as group, asyncio.timeout(scaled(30)):
        task = group.create_task(Schedule(sources, budget, notes, lambda: 0.0, pool=pool).run(jobs))
        while len(notes.outcomes) < len(jobs):
            notes.ended.clear()
            await notes.ended.wait()
        task.cancel()
    admitted = [outcome.admitted for outcome in notes.outcomes if outcome.admitted is not None]
    assert sorted(each.dropped for each in admitted) == [0, THREAD_FROM_SERIES - 10]


async def test_first_start_is_spread_by_at_most_half_a_second() -> None:
    clock = ManualClock(monotonic=100.0)
    slow = CollectorSettings(interval_seconds=300.0)
    quick = CollectorSettings(interval_seconds=1.0)
    jobs = [job(ScriptedCollector([FINE]), "slow", slow), job(ScriptedCollector([FINE]), "quick", quick)]
    async with running(clock, *jobs, spread=1.0) as notes:
        await clock.advance(0.5)
    assert notes.begun == [("quick", 100.1), ("slow", 100.5)]


async def test_slow_collection_delays_the_next_one_and_never_overlaps() -> None:
    clock = ManualClock(monotonic=0.0)

    async def slow() -> Result:
        await clock.sleep(14.0)
        return FINE

    collector = ScriptedCollector([slow])
    patient = CollectorSettings(interval_seconds=10.0, timeout_seconds=60.0)
    async with running(clock, job(collector, settings=patient)) as notes:
        await clock.advance(43.0)
    assert [at for _, at in notes.begun] == [0.0, 14.0, 28.0, 42.0]
    assert (collector.most_running, [outcome.duration_seconds for outcome in notes.outcomes]) == (1, [14.0] * 3)


async def test_hanging_collector_is_cancelled_at_its_deadline_and_tried_again() -> None:
    clock = ManualClock()
    collector = ScriptedCollector([hang, FINE])
    settings = CollectorSettings(interval_seconds=10.0, timeout_seconds=0.01)
    async with running(clock, job(collector, settings=settings)) as notes:
        await notes.ended.wait()
        await clock.advance(10.0)
    assert (notes.reasons, collector.running) == ([Reason.TIMEOUT, None], 0)


async def test_failing_collector_leaves_its_neighbour_alone() -> None:
    clock = ManualClock()
    bad, good = ScriptedCollector([ValueError("boom")]), ScriptedCollector([FINE])
    async with running(clock, job(bad, "bad"), job(good, "good")) as notes:
        await clock.advance(25.0)
    assert (bad.collected, good.collected) == (3, 3)
    assert {outcome.reason for outcome in notes.outcomes if outcome.collector == "good"} == {None}
    assert {outcome.reason for outcome in notes.outcomes if outcome.collector == "bad"} == {Reason.INTERNAL}


async def test_stray_cancellation_inside_a_collection_does_not_end_the_collector() -> None:
    clock = ManualClock()
    collector = ScriptedCollector([asyncio.CancelledError(), FINE])
    async with running(clock, job(collector)) as notes:
        await clock.advance(10.0)
    assert notes.reasons == [Reason.INTERNAL, None]


async def test_cancellation_from_outside_ends_the_collector_and_closes_it() -> None:
    collector = ScriptedCollector([hang])
    async with running(ManualClock(), job(collector)) as notes:
        pass
    assert (notes.outcomes, collector.opened, collector.closed) == ([], 1, 1)


async def test_unconfigured_collector_is_skipped_and_not_tried_again() -> None:
    clock = ManualClock()
    collector = ScriptedCollector([FINE], open_errors=[NotConfiguredError("no database")])
    async with running(clock, job(collector)) as notes:
        await clock.advance(100.0)
    assert (notes.skipped, notes.outcomes, collector.opened) == (["example"], [], 0)


async def test_collector_that_cannot_be_opened_is_opened_an_interval_later() -> None:
    clock = ManualClock()
    collector = ScriptedCollector([FINE], open_errors=[TransientError(Reason.REFUSED, "not there")])
    async with running(clock, job(collector)) as notes:
        assert notes.reasons == [Reason.REFUSED]
        await clock.advance(10.0)
    assert (notes.reasons, collector.opened) == ([Reason.REFUSED, None], 1)


async def test_slow_failure_to_open_counts_towards_the_interval() -> None:
    clock = ManualClock(monotonic=0.0)
    collector = ScriptedCollector([FINE])

    @asynccontextmanager
    async def open_slowly(_settings: Any, _sources: Any) -> AsyncIterator[ScriptedCollector]:
        await clock.sleep(4.0)
        if clock.monotonic() < 10.0:
            raise TransientError(Reason.TIMEOUT, "no answer")
        yield collector

    async with running(clock, Job(replace(collector.spec(), open=open_slowly), SETTINGS)) as notes:
        await clock.advance(14.0)
    assert [(outcome.began_monotonic, outcome.reason) for outcome in notes.outcomes] == [
        (0.0, Reason.TIMEOUT),
        (14.0, None),
    ]


async def test_partial_failure_carries_its_reason_and_its_families() -> None:
    result = Result((UP.value(0),), {"database": False}, TransientError(Reason.REFUSED, "nobody listens"))
    async with running(ManualClock(), job(ScriptedCollector([result]))) as notes:
        pass
    outcome = notes.outcomes[0]
    assert (outcome.reason, outcome.message, outcome.components) == (
        Reason.REFUSED,
        "nobody listens",
        {"database": False},
    )
    assert outcome.admitted is not None


async def test_refused_access_is_told_with_its_reason_and_is_no_failure() -> None:
    result = Result(refused={"database": PermanentError(Reason.AUTH, "no\npassword")})
    async with running(ManualClock(), job(ScriptedCollector([result]))) as notes:
        pass
    (outcome,) = notes.outcomes
    assert (outcome.reason, outcome.refused) == (None, {"database": AccessRefusal(Reason.AUTH, "no password")})


async def test_version_that_is_no_plain_word_is_told_as_other() -> None:
    result = Result(versions={"redis": "7.0.15", "database": 'x"} 1\ny'})
    async with running(ManualClock(), job(ScriptedCollector([result]))) as notes:
        pass
    assert notes.outcomes[0].versions == {"redis": "7.0.15", "database": "other"}


async def test_malformed_result_is_the_collectors_own_failure() -> None:
    broken = Result(cast("Any", (42,)))
    async with running(ManualClock(), job(ScriptedCollector([broken]))) as notes:
        pass
    assert notes.reasons == [Reason.INTERNAL]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermanentError(Reason.AUTH, "x"), Reason.AUTH),
        (TimeoutError(), Reason.TIMEOUT),
        (ValueError("x"), Reason.INTERNAL),
        (ExceptionGroup("g", [ValueError("x"), TransientError(Reason.DNS, "x")]), Reason.DNS),
        (ExceptionGroup("g", [ValueError("x")]), Reason.INTERNAL),
    ],
)
def test_reason_of_an_error(error: BaseException, reason: Reason) -> None:
    assert reason_of(error) is reason


def test_description_is_one_bounded_line() -> None:
    text = describe(TransientError(Reason.REFUSED, "first\nsecond " + "x" * 1000), Reason.REFUSED)
    assert (text.startswith("first second x"), len(text), "\n" in text) == (True, 300, False)


def test_description_of_a_bug_says_where() -> None:
    with pytest.raises(KeyError) as caught:
        {}["missing"]
    assert "KeyError: 'missing' at test_schedule.py:" in describe(caught.value, Reason.INTERNAL)


def test_description_of_a_bare_timeout_is_a_sentence() -> None:
    assert describe(TimeoutError(), Reason.TIMEOUT) == "no answer within the deadline"


@pytest.mark.parametrize(
    ("steps", "errors", "reason"),
    [
        ([FINE], [], None),
        ([PermanentError(Reason.AUTH, "no")], [], Reason.AUTH),
        ([FINE], [TransientError(Reason.REFUSED, "no")], Reason.REFUSED),
        ([FINE], [ValueError("a bug")], Reason.INTERNAL),
    ],
)
async def test_one_collection_opens_collects_and_closes(
    steps: list[Any], errors: list[BaseException], reason: Reason | None
) -> None:
    is_unopened = bool(errors)
    collector = ScriptedCollector(steps, open_errors=list(errors))
    sources = Sources(clock=ManualClock(), settings=cast("Any", None), http=cast("Any", None))
    outcome = await Schedule(sources, Budget(), Notes()).collect_once(Job(collector.spec(), SETTINGS))
    assert outcome.reason is reason
    assert (collector.opened, collector.closed) == ((0, 0) if is_unopened else (1, 1))


async def test_one_collection_of_what_is_not_configured_is_none() -> None:
    collector = ScriptedCollector([FINE], open_errors=[NotConfiguredError("set lamp.url")])
    sources = Sources(clock=ManualClock(), settings=cast("Any", None), http=cast("Any", None))
    with pytest.raises(NotConfiguredError, match=r"set lamp\.url"):
        await Schedule(sources, Budget(), Notes()).collect_once(Job(collector.spec(), SETTINGS))
