from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collection.scrape_phase import SCRAPERS_MAX, ScrapePlan, Scrapers


def visited(*times: float, scraper: str = "one", scrapers: Scrapers | None = None) -> Scrapers:
    found = scrapers or Scrapers()
    for now in times:
        found.observe(scraper, now)
    return found


def regular(start: float, period: float, count: int = 10) -> list[float]:
    return [start + period * number for number in range(count)]


def test_regular_scraper_is_foretold() -> None:
    plan = visited(*regular(100.0, 15.0)).plan(236.0)
    assert plan is not None
    assert plan.next_end(15.0, not_before=236.0, last_end=0.0) == pytest.approx(250.0)


def test_few_scrapes_are_not_believed() -> None:
    assert visited(100.0, 115.0, 130.0).plan(131.0) is None


def test_irregular_visitor_gives_no_plan() -> None:
    assert visited(100.0, 103.0, 120.0, 121.0, 150.0, 151.0, 170.0).plan(171.0) is None


def test_scraper_that_stopped_is_forgotten() -> None:
    scrapers = visited(*regular(100.0, 15.0))
    assert (scrapers.plan(240.0) is None, scrapers.plan(290.0) is None) == (False, True)


def test_missed_scrape_does_not_spoil_the_plan() -> None:
    times = regular(100.0, 15.0)
    del times[6]
    plan = visited(*times).plan(236.0)
    assert plan is not None
    assert plan.next_end(15.0, not_before=236.0, last_end=0.0) == pytest.approx(250.0)


def test_visitor_beside_a_regular_scraper_changes_nothing() -> None:
    scrapers = visited(*regular(100.0, 15.0))
    visited(101.0, 140.0, 141.0, 199.0, 230.0, scraper="curl", scrapers=scrapers)
    plan = scrapers.plan(236.0)
    assert plan is not None
    assert plan.period == pytest.approx(15.0)


def test_pair_is_served_by_the_scraper_whom_the_other_follows_soonest() -> None:
    scrapers = visited(*regular(100.0, 15.0))
    visited(*regular(104.0, 15.0), scraper="two", scrapers=scrapers)
    plan = scrapers.plan(240.0)
    assert plan is not None
    assert plan.next_end(15.0, not_before=240.0, last_end=0.0) == pytest.approx(250.0)


def test_pair_behind_one_address_is_told_apart_by_its_connections() -> None:
    pair, one = Scrapers(), Scrapers()
    for now, port in sorted([*((t, 4001) for t in regular(100.0, 15.0)), *((t, 4002) for t in regular(104.0, 15.0))]):
        pair.observe("prometheus", now, port)
        one.observe("prometheus", now)
    plan = pair.plan(240.0)
    assert plan is not None
    assert plan.period == pytest.approx(15.0)
    assert plan.next_end(15.0, not_before=240.0, last_end=0.0) == pytest.approx(250.0)
    wrong = one.plan(240.0)
    assert wrong is None or wrong.period < 5.0, "without their connections they look like one frequent scraper"


def test_pair_in_opposite_phase_behind_one_address_is_no_scraper_of_half_the_interval() -> None:
    scrapers = Scrapers()
    for number, now in enumerate(regular(100.0, 7.5, 20)):
        scrapers.observe("prometheus", now, 4001 + number % 2)
    plan = scrapers.plan(243.0)
    assert plan is not None
    assert plan.period == pytest.approx(15.0)


def test_scraper_that_connects_anew_each_time_is_foretold() -> None:
    scrapers = Scrapers()
    for port, now in enumerate(regular(100.0, 15.0)):
        scrapers.observe("prometheus", now, port)
    plan = scrapers.plan(236.0)
    assert plan is not None
    assert plan.period == pytest.approx(15.0)


def test_short_connections_push_out_no_scraper() -> None:
    scrapers = Scrapers()
    for now in regular(100.0, 15.0):
        scrapers.observe("prometheus", now, 4001)
        for port in range(2 * SCRAPERS_MAX):
            scrapers.observe("curl", now + 1.0, port)
    assert scrapers.plan(236.0) is not None
    assert len(scrapers._connections) == SCRAPERS_MAX


def test_three_scrapers_at_different_times_end_the_plan() -> None:
    scrapers = Scrapers()
    for number in range(3):
        visited(*regular(100.0 + 4 * number, 15.0), scraper=str(number), scrapers=scrapers)
    assert scrapers.plan(245.0) is None


def test_three_scrapers_at_the_same_time_are_one() -> None:
    scrapers = Scrapers()
    for number in range(3):
        visited(*regular(100.0 + 0.05 * number, 15.0), scraper=str(number), scrapers=scrapers)
    assert scrapers.plan(236.0) is not None


def test_number_of_remembered_scrapers_is_bounded() -> None:
    scrapers = Scrapers()
    for number in range(10 * SCRAPERS_MAX):
        scrapers.observe(str(number), float(number))
    assert len(scrapers._rhythms) == SCRAPERS_MAX


def test_shorter_interval_is_spread_evenly_and_ends_at_the_scrape() -> None:
    plan, ends, last = ScrapePlan(0.0, 30.0), [], -1.0
    for _ in range(4):
        last = plan.next_end(10.0, not_before=last, last_end=last)
        ends.append(last)
    assert ends == [10.0, 20.0, 30.0, 40.0]


def test_longer_interval_ends_at_every_third_scrape() -> None:
    plan, ends, last = ScrapePlan(0.0, 5.0), [], 0.0
    for _ in range(3):
        last = plan.next_end(15.0, not_before=last, last_end=last)
        ends.append(last)
    assert ends == [15.0, 30.0, 45.0]


@given(st.floats(0.5, 120.0), st.floats(0.5, 120.0), st.floats(0, 1000.0), st.lists(st.floats(0, 30.0), max_size=30))
def test_there_is_never_more_than_one_collection_in_an_interval(
    period: float, interval: float, anchor: float, pauses: list[float]
) -> None:
    plan, now, last = ScrapePlan(anchor, period), 1000.0, 0.0
    for pause in pauses:
        end = plan.next_end(interval, not_before=now, last_end=last)
        assert end >= now - 1e-6
        assert end - last >= 0.95 * interval - 1e-6
        now, last = end + pause, end


@given(st.floats(1.0, 60.0), st.integers(0, 2**32))
def test_jitter_of_milliseconds_leaves_the_forecast_within_a_tenth(period: float, seed: int) -> None:
    noise = random.Random(seed)  # noqa: S311 - no secret
    times = [now + noise.gauss(0, 0.002) for now in regular(100.0, period, 40)]
    plan = visited(*times).plan(times[-1] + 0.01)
    assert plan is not None
    end = plan.next_end(period, not_before=times[-1] + period / 2, last_end=0.0)
    assert abs(end - (100.0 + 40 * period)) < 0.1
