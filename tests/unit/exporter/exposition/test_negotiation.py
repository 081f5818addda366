from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition.negotiation import Form, accepts_gzip, choose, prefers_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "is_preferred"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (BROWSER, False),
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ('APPLICATION/OpenMetrics-Text; Version="1.0.0"', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.4,text/plain;version=1.0.0;q=0.5", True),
        ("application/openmetrics-text;q=0,*/*", False),
        ("application/openmetrics-text;q=loud", False),
        ("application/*,text/plain;q=0.5", True),
        ("application/openmetrics-text, text/plain;q=1", True),
        ("application/openmetrics-text;q=0.2, */*;q=0.9", False),
        (",;,", False),
    ],
)
def test_openmetrics_is_sent_only_to_who_prefers_it(header: str, *, is_preferred: bool) -> None:
    assert is_preferred is prefers_openmetrics(header)


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*;q=0, gzip", True),
        ("identity", False),
        ("", False),
        ("x-gzip", False),
    ],
)
def test_gzip_is_used_only_when_accepted(header: str, *, is_accepted: bool) -> None:
    assert is_accepted is accepts_gzip(header)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_header_gets_a_form(accept: str, encoding: str) -> None:
    assert isinstance(choose(accept, encoding), Form)
