"""X17: the product writes times without a zone, in an undeclared zone."""

from __future__ import annotations

import pytest

from exporter.items import Loss, counting
from exporter.sources.product_zone import WrittenTime, ZoneMeter, written

NOW = 1_767_323_040.0
TOKYO, NEPAL, MARQUESAS, KIRITIMATI = 9 * 3600, 20_700, -34_200, 14 * 3600


def time_of(at: float, zone: float, declared: float = 0.0) -> WrittenTime:
    """The reading of a row written at `at` in a zone this far ahead of UTC, when another one is declared."""
    return WrittenTime(at + zone, at + zone - declared)


def measured(zone: float, declared: float = 0.0, times: int = 2, age: float = 3.0) -> ZoneMeter:
    meter = ZoneMeter()
    for number in range(times):
        meter.observe(time_of(NOW + 6 * number - age, zone, declared), NOW + 6 * number, 6.0)
    return meter


@pytest.mark.parametrize("zone", [0, TOKYO, NEPAL, MARQUESAS, KIRITIMATI, -12 * 3600])
@pytest.mark.parametrize("declared", [0, TOKYO, -5 * 3600])
@pytest.mark.parametrize("age", [0.0, 5.9, 50.0, -2.0])
def test_new_rows_measure_every_zone_whatever_is_declared(zone: float, declared: float, age: float) -> None:
    meter = measured(zone, declared, age=age)
    assert meter.past(time_of(NOW - 500, zone, declared), NOW) == NOW - 500
    assert time_of(NOW, zone, declared).declared + meter.correction(time_of(NOW, zone, declared)) == NOW


def test_time_in_the_future_is_unknown_until_it_was_measured() -> None:
    with counting() as losses:
        assert measured(TOKYO, times=1).past(time_of(NOW, TOKYO), NOW) is None
    assert losses.dropped == {Loss.FUTURE: 1}


def test_one_row_with_a_time_of_its_own_changes_nothing() -> None:
    meter = measured(0)
    meter.observe(time_of(NOW, TOKYO), NOW, 6.0)
    assert meter.moment(time_of(NOW, 0)) == NOW


@pytest.mark.parametrize(("at", "window"), [(NOW - 400.0, 6.0), (NOW, 301.0), (NOW - 20 * 3600, 6.0)])
def test_row_that_may_be_old_measures_nothing(at: float, window: float) -> None:
    meter = ZoneMeter()
    for _ in range(3):
        meter.observe(time_of(at, 0, TOKYO), NOW, window)
    assert meter.moment(time_of(NOW, 0, TOKYO)) == NOW - TOKYO


def test_declared_zone_comes_back_when_rows_agree_with_it_again() -> None:
    """A summer's end: the zone's own rule is better for old rows than an offset that is true now."""
    meter = measured(TOKYO)
    for _ in range(2):
        meter.observe(time_of(NOW, 0), NOW, 6.0)
    assert meter.moment(time_of(NOW, 0)) == NOW


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_null_and_infinity_are_no_time(value: float | None) -> None:
    assert written({"a": value, "b": value}, "a", "b") is None
