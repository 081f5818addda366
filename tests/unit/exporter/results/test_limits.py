from __future__ import annotations

import pytest

from exporter.collector import CollectorSpec
from exporter.items import Loss, counting
from exporter.metrics import Distribution, Family, Histogram, Kind, LabelValues, Metric, Sample, Stability
from exporter.results.limits import Budget, SeriesBudget, admit
from tests.fakes.collector import SIZE, UP, ScriptedCollector, sizes

GUIDE = Metric("active_users_total", "Guide.", stability=Stability.GUIDE)
TOOK = Metric("took_seconds", "Time.", Kind.HISTOGRAM, buckets=(0.1, 1.0))
SPEC: CollectorSpec = ScriptedCollector([]).spec(metrics=(UP, SIZE, GUIDE, TOOK))


def labels(families: tuple[Family, ...]) -> list[LabelValues]:
    return [sample.labels for family in families for sample in family.samples]


def test_declared_series_pass_unchanged() -> None:
    family = sizes(a=1, b=2)
    admitted = admit(SPEC, [family], Budget())
    assert (admitted.families, admitted.dropped, admitted.truncated) == ((family,), 0, 0)


def test_undeclared_metric_is_dropped_and_counted() -> None:
    stranger = Metric("stranger", "x", labels=("l",)).family({("a",): 1, ("b",): 1})
    admitted = admit(SPEC, [stranger], Budget())
    assert (admitted.families, admitted.dropped) == ((), 2)


def test_guide_metric_is_left_out_without_counting_when_off() -> None:
    families = [GUIDE.value(3), UP.value(1)]
    off, on = admit(SPEC, families, Budget(guide_names=False)), admit(SPEC, families, Budget())
    assert [family.metric.name for family in off.families] == ["example_up"]
    assert (off.dropped, len(on.families)) == (0, 2)


def test_series_over_budget_are_dropped_and_counted() -> None:
    admitted = admit(SPEC, [sizes(**{f"p{i}": i for i in range(10)})], Budget(max_series=4))
    assert (len(labels(admitted.families)), admitted.dropped) == (4, 6)


def test_early_declared_metric_survives_a_flood_of_a_later_one() -> None:
    flood = sizes(**{f"p{i}": i for i in range(10)})
    admitted = admit(SPEC, [flood, UP.value(1)], Budget(max_series=3))
    assert "example_up" in {family.metric.name for family in admitted.families}


def test_histogram_costs_its_buckets_sum_and_count() -> None:
    histogram = Histogram(TOOK).initialise([()]).family()
    fits, does_not = (admit(SPEC, [histogram], Budget(max_series=size)) for size in (5, 4))
    assert (len(fits.families), fits.dropped) == (1, 0)
    assert (len(does_not.families), does_not.dropped) == (0, 5)


def test_long_label_value_is_cut_and_counted() -> None:
    admitted = admit(SPEC, [SIZE.family({("x" * 200,): 1})], Budget(max_label_length=10))
    assert (labels(admitted.families), admitted.truncated) == ([("x" * 9 + "…",)], 1)


def test_cut_values_that_become_equal_are_published_once() -> None:
    """Two samples of one label set make Prometheus refuse or pick one; the first one stays, the rest is counted."""
    admitted = admit(SPEC, [SIZE.family({("x" * 20 + "a",): 1, ("x" * 20 + "b",): 2})], Budget(max_label_length=10))
    assert (len(labels(admitted.families)), admitted.dropped) == (1, 1)


def test_same_metric_given_twice_becomes_one_family() -> None:
    admitted = admit(SPEC, [sizes(a=1), sizes(b=2)], Budget())
    assert (len(admitted.families), labels(admitted.families)) == (1, [("a",), ("b",)])


def test_wrong_number_of_labels_is_dropped() -> None:
    assert admit(SPEC, [Family(SIZE, (Sample((), 1.0),))], Budget()).dropped == 1


def test_plain_sample_of_a_histogram_is_dropped() -> None:
    assert admit(SPEC, [Family(TOOK, (Sample((), 1.0),))], Budget()).families == ()


def test_distribution_with_a_missing_bucket_is_dropped() -> None:
    assert admit(SPEC, [Family(TOOK, (), (Distribution((), (1, 2), 0.5),))], Budget()).families == ()


@pytest.mark.parametrize("counts", [(1, 2, 2**63), (2, 1, 3), (-1, 0, 1)], ids=["too many", "falling", "below zero"])
def test_distribution_that_cannot_be_true_is_dropped(counts: tuple[int, ...]) -> None:
    """A count beyond every float would end the rendering of the whole page."""
    admitted = admit(SPEC, [Family(TOOK, (), (Distribution((), counts, 0.5),))], Budget())
    assert (admitted.families, admitted.dropped) == ((), len(TOOK.buckets) + 3)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_says_nothing_is_dropped_and_counted(number: float) -> None:
    with counting() as losses:
        admitted = admit(SPEC, [sizes(a=number, b=1)], Budget())
    assert (labels(admitted.families), losses.dropped) == ([("b",)], {Loss.NUMBER: 1})


@pytest.mark.parametrize("label", [None, 7, True, b"x", ["x"]], ids=repr)
def test_label_that_is_no_text_costs_its_sample_alone(label: object) -> None:
    """P1: a null in a row became a label value, and the whole collection was lost."""
    family = Family(SIZE, (Sample((label,), 1.0), Sample(("b",), 2.0)))  # type: ignore[arg-type] # a row's value
    with counting() as losses:
        admitted = admit(SPEC, [family], Budget())
    assert (labels(admitted.families), losses.dropped) == ([("b",)], {Loss.LABEL: 1})


@pytest.mark.parametrize("number", [None, "7", b"7", [], 10**400], ids=["null", "text", "bytes", "list", "huge"])
def test_value_that_is_no_number_costs_its_sample_alone(number: object) -> None:
    """P1: the same for the value."""
    with counting() as losses:
        admitted = admit(SPEC, [SIZE.family({("a",): number, ("b",): 2})], Budget())  # type: ignore[dict-item] # a row's
    assert (labels(admitted.families), losses.dropped) == ([("b",)], {Loss.NUMBER: 1})


def test_text_that_utf8_cannot_carry_is_replaced() -> None:
    admitted = admit(SPEC, [SIZE.family({("a\udc80",): 1})], Budget())
    assert labels(admitted.families) == [("a?",)]


def test_collectors_share_what_all_may_publish_together() -> None:
    pool, budget = SeriesBudget(5), Budget(max_series=4)
    first = admit(SPEC, [sizes(**{f"p{i}": i for i in range(4)})], pool.share("one", budget))
    pool.note("one", first)
    second = admit(SPEC, [sizes(**{f"p{i}": i for i in range(3)})], pool.share("two", budget))
    pool.note("two", second)
    assert (first.dropped, second.dropped) == (0, 2)
    assert pool.share("one", budget).max_series == 4, "its own series do not count against it"
    pool.note("one", admit(SPEC, [], pool.share("one", budget)))
    assert pool.share("two", budget).max_series == 4, "what was given back can be had"
