from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import PermanentError, Reason
from exporter.collectors.policy_engine.opa_page import (
    BOUNDS,
    MAX_NAMES,
    MAX_PAGE_BYTES,
    STAGES,
    code_class,
    read_page,
    read_stages,
)

LEAVES = st.none() | st.booleans() | st.floats() | st.integers()
HEAD = b"# TYPE http_request_duration_seconds histogram\n"


def histogram(counts, *, code="200", handler="v1/data", method="post", total=1.0):
    labels = f'code="{code}",handler="{handler}",method="{method}"'
    lines = [f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {count}' for bound, count in counts]
    lines += [f"http_request_duration_seconds_sum{{{labels}}} {total}"]
    lines += [f"http_request_duration_seconds_count{{{labels}}} {counts[-1][1]}"]
    return ("\n".join(lines) + "\n").encode()


def at(page, bound):
    return page.cumulative[(*BOUNDS, math.inf).index(bound)]


def test_decisions_are_added_up_over_codes_and_other_handlers_left_out():
    body = HEAD + histogram([("0.001", 2), ("0.01", 3), ("+Inf", 4)], total=0.5)
    body += histogram([("0.001", 0), ("0.01", 1), ("+Inf", 1)], code="400", total=0.25)
    body += histogram([("0.001", 9), ("0.01", 9), ("+Inf", 9)], handler="health")
    page = read_page(body)
    assert (at(page, 0.001), at(page, 0.01), at(page, math.inf)) == (2, 4, 5)
    assert page.total_seconds == 0.75
    assert page.codes == {"2xx": 4, "4xx": 1}


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_reading_and_writing_of_data_is_no_decision(method):
    """OPAL writes data by PUT and PATCH, and our own readiness check is a GET, four a minute."""
    body = HEAD + histogram([("0.001", 9), ("+Inf", 9)], method=method, code="204")
    page = read_page(body + histogram([("0.001", 2), ("+Inf", 3)], total=0.5))
    assert (at(page, math.inf), page.total_seconds, page.codes) == (3, 0.5, {"2xx": 3})


def test_bound_that_the_page_lacks_gets_the_count_of_the_next_lower_one():
    page = read_page(HEAD + histogram([("0.001", 2), ("0.01", 5), ("+Inf", 6)]))
    assert (at(page, 0.0005), at(page, 0.0025), at(page, 0.005), at(page, 0.025)) == (0, 2, 2, 5)


def test_engine_that_never_decided_has_zeros_and_one_without_a_histogram_nothing():
    idle = read_page(HEAD + histogram([("0.001", 9), ("+Inf", 9)], handler="health"))
    assert idle.cumulative == (0,) * (len(BOUNDS) + 1)
    assert read_page(b"# TYPE go_goroutines gauge\ngo_goroutines 9\n").cumulative == ()


@pytest.mark.parametrize(
    "counts",
    [
        [("0.001", 5), ("0.01", 3), ("+Inf", 6)],
        [("0.001", 5), ("0.01", 6)],
        [("+Inf", -1)],
        [("0.001", 1.5), ("+Inf", "NaN")],
    ],
)
def test_histogram_that_cannot_be_true_is_unknown_as_a_whole(counts):
    good = histogram([("0.001", 1), ("+Inf", 1)], code="404")
    page = read_page(HEAD + good + histogram(counts))
    assert (page.cumulative, page.codes) == ((), {})


def test_status_plugin_tells_bundles_and_plugins():
    body = b"""# TYPE plugin_status_gauge gauge
plugin_status_gauge{name="bundle",status="NOT_READY"} 0
plugin_status_gauge{name="bundle",status="OK"} 1
plugin_status_gauge{name="decision_logs",status="NOT_READY"} 1
last_success_bundle_activation{name="authz"} 1.7e+18
last_success_bundle_activation{name="never"} 0
bundle_failed_load_counter{code="bundle_error",message="a",name="authz"} 2
bundle_failed_load_counter{code="bundle_error",message="b",name="authz"} 1
"""
    page = read_page(body)
    assert page.plugins == {"bundle": True, "decision_logs": False}
    assert page.bundle_activations == {"authz": pytest.approx(1.7e9)}
    assert page.bundle_failures == {"authz": 3}


@pytest.mark.parametrize("body", [b"", b"<html>Please come back later</html>", b"\xff\xfe\x00", b'{"a": 1}'])
def test_page_that_is_none_is_malformed(body):
    with pytest.raises(PermanentError) as caught:
        read_page(body)
    assert caught.value.reason is Reason.MALFORMED


def test_huge_page_is_refused_and_names_are_bounded():
    with pytest.raises(PermanentError):
        read_page(HEAD + b"a" * MAX_PAGE_BYTES)
    lines = "".join(f'plugin_status_gauge{{name="p{number}",status="OK"}} 1\n' for number in range(MAX_NAMES * 3))
    assert len(read_page(HEAD + lines.encode()).plugins) == MAX_NAMES


@given(st.binary(max_size=400), st.integers(0, 8))
def test_rubbish_between_true_lines_never_breaks_the_page(rubbish, place):
    good = histogram([("0.001", 2), ("0.01", 5), ("+Inf", 6)]).splitlines(keepends=True)
    page = read_page(HEAD + b"".join(good[:place]) + rubbish + b"\n" + b"".join(good[place:]))
    assert page.cumulative == () or list(page.cumulative) == sorted(page.cumulative)


@given(st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from(("metrics", *STAGES)), inner), max_leaves=8))
def test_answer_of_any_shape_gives_stages_or_none(body):
    assert all(0 <= seconds < 3600 for seconds in read_stages({"metrics": body}).values())
    assert read_stages(body) is not None


def test_stages_are_seconds_and_unknown_timers_left_out():
    timers = {"timer_rego_query_eval_ns": 2_000_000, "timer_server_handler_ns": True, "timer_else_ns": 5, "counter": 1}
    assert read_stages({"metrics": timers}) == {"query_eval": 0.002}
    assert read_stages({"result": True}) == {}


@pytest.mark.parametrize(
    ("code", "kind"),
    [("200", "2xx"), ("503", "5xx"), ("", "other"), ("999", "other"), ("2xx", "other"), ("٢00", "other")],
)
def test_code_falls_into_a_closed_set(code, kind):
    assert code_class(code) == kind
