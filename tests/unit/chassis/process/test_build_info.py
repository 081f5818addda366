from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from chassis.process.build_info import build_info, render, version


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    build_info(made, "sample_build_info")
    Counter("sample_events", "Events.", registry=made)
    return made


def test_build_info_is_one_with_version_labels() -> None:
    labels = {"version": version(), "python_version": platform.python_version()}
    assert registry().get_sample_value("sample_build_info", labels) == 1.0


def test_plain_text_is_the_default_and_counters_start_at_zero() -> None:
    body, content_type = render(registry(), "*/*")
    families = {family.name: family for family in read_text(body.decode())}
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert families["sample_events"].samples[0].value == 0.0


def test_openmetrics_is_given_when_asked_for() -> None:
    body, content_type = render(registry(), "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert "sample_events" in {family.name for family in read_openmetrics(body.decode())}
