"""The names in an expression, and whether a program publishes them."""

from __future__ import annotations

import pytest

from chassis.documents import asked_names
from tools.rules.catalogue import asked_labels, find_faults, find_metric, published_labels


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("cpu_usage_percent > 80", {"cpu_usage_percent"}),
        ("histogram_quantile(0.95, rate(a_bucket[5m]))", {"a_bucket"}),
        ('sum without (instance, pod) (rate(a_total{b="c_d", e=~"f"}[5m:1m])) > 1e9', {"a_total"}),
        ("time() - max by (x) (a) > 300 unless on (y) b offset -5m", {"a", "b"}),
        ("a and b or c # and d", {"a", "b", "c"}),
        ("vector(1) > bool Inf", set()),
        ("sum (a) / count(b)", {"a", "b"}),
        ("a / ignoring (x) group_left b", {"a", "b"}),
        ("controlcore:recorded:ratio_rate5m", {"controlcore:recorded:ratio_rate5m"}),
    ],
)
def test_names_are_told_from_functions_labels_and_keywords(promql: str, expected: set[str]) -> None:
    assert expected == asked_names(promql)


def test_labels_are_those_of_the_selectors() -> None:
    assert {"a": {"b", "e"}, "c": {"d"}} == asked_labels('a{b="x", e!~"y=z"} + on (f) c{d!=""} + g')


def test_names_of_both_programs_and_of_histograms_are_published() -> None:
    published = published_labels()
    assert {"endpoint", "le"} == published["controlcore_api_probe_duration_seconds_bucket"]
    assert {"status"} == published["controlcore_remediation_webhook_notifications_total"]
    assert "controlcore_exporter_build_info" in published
    assert "controlcore_api_probe_duration_seconds" not in published


def test_what_a_rule_records_is_published_and_what_none_does_is_not() -> None:
    assert find_faults("controlcore:policy_denials:ratio_rate10m > 0.1") == ()
    assert find_faults("controlcore:policy_denials:ratio_rate7m > 0.1") != ()


def test_unknown_names_and_foreign_labels_are_faults() -> None:
    assert find_faults('controlcore_redis_upp == 0 or controlcore_component_up{componnent="api"} == 0') == (
        "controlcore_redis_upp is published by neither program",
        "controlcore_component_up has no label componnent",
    )


def test_a_metric_is_found_by_name_or_not_at_all() -> None:
    assert find_metric("controlcore_redis_up").name == "controlcore_redis_up"
    with pytest.raises(KeyError):
        find_metric("controlcore_redis_upp")
