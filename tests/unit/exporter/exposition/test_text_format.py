from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from exporter.exposition.text_format import Renderer, escape_label, format_bound, format_value, render
from exporter.metrics import Counter, Family, Histogram, Kind, Metric, Sample

GAUGE = Metric("thing_state", "State of the thing.", labels=("name", "where"))
LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FINITE = st.floats(allow_nan=False)


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_gauge_renders_help_type_and_sorted_samples() -> None:
    text = render(GAUGE.family({("b", "x"): 2, ("a", "x"): 1.5})).text
    assert text == (
        "# HELP thing_state State of the thing.\n"
        "# TYPE thing_state gauge\n"
        'thing_state{name="a",where="x"} 1.5\n'
        'thing_state{name="b",where="x"} 2.0\n'
    )


def test_family_without_samples_renders_nothing() -> None:
    assert (render(GAUGE.family({})).text, Metric("plain", "Plain.").value(None).samples) == ("", ())


def test_help_with_newline_and_backslash_is_escaped() -> None:
    text = render(Metric("plain", "one\\two\nthree").value(1)).text
    assert text.splitlines()[0] == "# HELP plain one\\\\two\\nthree"


def test_histogram_renders_canonical_bounds_sum_and_count() -> None:
    metric = Metric("took_seconds", "Time.", Kind.HISTOGRAM, ("to",), buckets=(0.5, 1.0))
    histogram = Histogram(metric).initialise([("a",)])
    for value in (0.5, 0.7, 3.0):
        histogram.observe(value, ("a",))
    assert render(histogram.family()).text.splitlines()[2:] == [
        'took_seconds_bucket{to="a",le="0.5"} 1.0',
        'took_seconds_bucket{to="a",le="1.0"} 2.0',
        'took_seconds_bucket{to="a",le="+Inf"} 3.0',
        'took_seconds_sum{to="a"} 4.2',
        'took_seconds_count{to="a"} 3.0',
    ]


@given(st.dictionaries(st.tuples(LABEL, LABEL), FINITE, min_size=1, max_size=5))
def test_hostile_label_values_read_back_unchanged(samples: dict[tuple[str, str], float]) -> None:
    expected = {("thing_state", (("name", name), ("where", where))): value for (name, where), value in samples.items()}
    assert expected == parsed(render(GAUGE.family(samples)).text)


@given(LABEL, st.integers(0, 5))
def test_hostile_label_value_never_makes_another_line(value: str, number: int) -> None:
    text = render(GAUGE.family({(value, "x"): number})).text
    assert text.count("\n") == 3


@given(st.floats())
def test_any_float_reads_back_as_itself(value: float) -> None:
    read = float(format_value(value))
    assert read == value or (math.isnan(read) and math.isnan(value))


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_bound_is_written_as_the_reference_client_writes_it(bound: float) -> None:
    assert floatToGoString(bound) == format_bound(bound)


@pytest.mark.parametrize(("bound", "text"), [(1, "1.0"), (0.0025, "0.0025"), (1e6, "1e+06"), (math.inf, "+Inf")])
def test_bound_is_canonical(bound: float, text: str) -> None:
    assert text == format_bound(bound)


def test_nul_in_label_is_replaced() -> None:
    """Prometheus' lexer takes NUL for the end of the page: everything after it would be lost."""
    assert escape_label("a\0b") == "a\ufffdb"


@given(st.lists(st.floats(0, 10), max_size=20))
def test_histogram_buckets_read_back_as_cumulative_counts(values: list[float]) -> None:
    bounds = (0.1, 1.0, 5.0)
    histogram = Histogram(Metric("took_seconds", "Time.", Kind.HISTOGRAM, buckets=bounds)).initialise([()])
    for value in values:
        histogram.observe(value)
    found = parsed(render(histogram.family()).text)
    for bound in bounds:
        key = ("took_seconds_bucket", (("le", str(bound)),))
        assert found[key] == sum(value <= bound for value in values)
    assert found[("took_seconds_count", ())] == len(values)


def test_page_is_sorted_by_name_and_counts_samples() -> None:
    families = [Metric(name, "x").value(1) for name in ("zebra", "apple", "mango")]
    page = Renderer().page(families)
    assert page.samples == 3
    assert [line for line in page.text().decode().splitlines() if line[0] != "#"] == [
        "apple 1.0",
        "mango 1.0",
        "zebra 1.0",
    ]


def test_unchanged_family_is_not_rendered_again() -> None:
    renderer = Renderer()
    renderer.page([GAUGE.family({("a", "b"): 1})])
    before = renderer._blocks["thing_state"]
    renderer.page([GAUGE.family({("a", "b"): 1})])
    assert before is renderer._blocks["thing_state"]


def test_changed_value_is_rendered_with_the_known_line_beginning() -> None:
    renderer = Renderer()
    renderer.page([GAUGE.family({("a", "b"): 1})])
    before = renderer._blocks["thing_state"].heads[("a", "b")]
    text = renderer.page([GAUGE.family({("a", "b"): 2})]).text().decode()
    assert (text.splitlines()[-1], before is renderer._blocks["thing_state"].heads[("a", "b")]) == (
        'thing_state{name="a",where="b"} 2.0',
        True,
    )


def test_vanished_family_and_label_set_are_forgotten() -> None:
    renderer = Renderer()
    renderer.page([GAUGE.family({("a", "b"): 1, ("c", "d"): 1}), Metric("plain", "x").value(1)])
    renderer.page([GAUGE.family({("a", "b"): 2})])
    assert {name: set(block.heads) for name, block in renderer._blocks.items()} == {"thing_state": {("a", "b")}}


def test_redeclared_metric_does_not_use_old_line_beginnings() -> None:
    renderer = Renderer()
    renderer.page([Family(Metric("thing", "x", labels=("old",)), (Sample(("a",), 1.0),))])
    text = renderer.page([Family(Metric("thing", "x", labels=("new",)), (Sample(("a",), 1.0),))]).text().decode()
    assert text.splitlines()[-1] == 'thing{new="a"} 1.0'


def test_redeclared_metric_has_its_new_help() -> None:
    renderer = Renderer()
    for words in ("Old.", "New.", "Newer."):
        page = renderer.page([Metric("thing", words).value(1)])
        assert page.text().decode().splitlines()[0] == f"# HELP thing {words}"


def test_counter_is_typed_as_its_full_name() -> None:
    """In format 0.0.4 the TYPE line names the counter with its suffix."""
    counter = Counter(Metric("things_total", "x", Kind.COUNTER)).initialise([()])
    assert render(counter.family()).text.splitlines()[1:] == ["# TYPE things_total counter", "things_total 0.0"]
