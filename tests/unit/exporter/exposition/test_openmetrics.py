"""OpenMetrics 1.0 as prometheus_client's strict parser reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_parser

from exporter import self_metrics
from exporter.collectors import discover
from exporter.exposition.text_format import Renderer, openmetrics_name, render
from exporter.metrics import Counter, Family, Histogram, Kind, Metric

GAUGE = Metric("thing_state", "State of the thing.", labels=("name", "where"))
TOOK = Metric("took_seconds", "Time.", Kind.HISTOGRAM, ("to",), "seconds", buckets=(0.0005, 1.0, 1e6))
LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
Key = tuple[str, tuple[tuple[str, str], ...]]


def parsed(families: list[Family]) -> dict[Key, float]:
    page = Renderer().page(families).openmetrics().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_counter_is_named_without_its_suffix_and_its_sample_with_it() -> None:
    counter = Counter(Metric("busy_seconds_total", "Time.", Kind.COUNTER, unit="seconds")).initialise([()])
    assert render(counter.family()).openmetrics.splitlines() == [
        "# TYPE busy_seconds counter",
        "# UNIT busy_seconds seconds",
        "# HELP busy_seconds Time.",
        "busy_seconds_total 0.0",
    ]


def test_counter_without_the_suffix_is_of_unknown_type() -> None:
    """OpenMetrics refuses a page on which a counter's sample does not end in _total."""
    counter = Counter(Metric("busy", "x", Kind.COUNTER)).initialise([()])
    assert render(counter.family()).openmetrics.splitlines()[0] == "# TYPE busy unknown"


def test_unit_that_is_not_the_names_end_is_left_out() -> None:
    assert "# UNIT" not in render(Metric("share", "x", unit="ratio").value(1)).openmetrics


def test_quote_in_help_is_escaped() -> None:
    text = render(Metric("plain", 'say "one\\two"\nthree').value(1)).openmetrics
    assert text.splitlines()[1] == '# HELP plain say \\"one\\\\two\\"\\nthree'


def test_empty_page_is_only_the_end() -> None:
    assert Renderer().page([GAUGE.family({})]).openmetrics() == b"# EOF\n"


def test_end_stands_once_at_the_end_of_a_page() -> None:
    page = Renderer().page([Metric(name, "x").value(1) for name in ("b", "a")]).openmetrics()
    assert (page.count(b"# EOF\n"), page.endswith(b"# EOF\n")) == (1, True)


@given(st.dictionaries(st.tuples(LABEL, LABEL), st.floats(allow_nan=False), max_size=5), LABEL)
def test_hostile_label_values_and_help_read_back_unchanged(samples: dict[tuple[str, str], float], text: str) -> None:
    metric = Metric("thing_state", f"x{text}x", labels=("name", "where"))
    expected = {("thing_state", (("name", name), ("where", where))): value for (name, where), value in samples.items()}
    assert expected == parsed([metric.family(samples)])


@given(st.lists(st.floats(0, 1e7), max_size=20), st.floats(0, 1e15))
def test_histograms_and_counters_read_back_as_in_the_text_format(values: list[float], amount: float) -> None:
    histogram = Histogram(TOOK).initialise([("a",)])
    for value in values:
        histogram.observe(value, ("b",))
    counter = Counter(Metric("things_total", "x", Kind.COUNTER)).initialise([()])
    counter.add((), amount)
    families = [histogram.family(), counter.family()]
    text = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_parser(Renderer().page(families).text().decode())
        for sample in family.samples
    }
    assert text == parsed(families)


def test_no_two_metrics_of_the_catalogue_clash() -> None:
    """A gauge `x` and a counter `x_total` are two metrics in the text format and one name in OpenMetrics."""
    metrics = [*self_metrics.METRICS, *(metric for spec in discover() for metric in spec.metrics)]
    suffixes = {
        Kind.GAUGE: ("",),
        Kind.COUNTER: ("", "_total", "_created"),
        Kind.HISTOGRAM: ("", "_count", "_sum", "_bucket", "_created"),
    }
    names = [openmetrics_name(metric) + suffix for metric in metrics for suffix in suffixes[metric.kind]]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_counters_of_the_catalogue_end_in_total() -> None:
    metrics = [*self_metrics.METRICS, *(metric for spec in discover() for metric in spec.metrics)]
    counters = [metric.name for metric in metrics if metric.kind is Kind.COUNTER]
    assert [name for name in counters if not name.endswith("_total")] == []
