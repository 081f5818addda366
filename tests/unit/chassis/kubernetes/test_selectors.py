from __future__ import annotations

import pytest

from chassis.kubernetes.selectors import selector_text, selects


def expression(operator, *values, key="app"):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "api"}}, True),
        ({"matchLabels": {"app": "controlcore"}}, False),
        (expression("In", "api", "ui"), True),
        (expression("In", "ui"), False),
        (expression("In", "api", key="tier"), False),
        (expression("NotIn", "ui"), True),
        (expression("NotIn", "api"), False),
        (expression("NotIn", "x", key="tier"), True),
        (expression("Exists"), True),
        (expression("Exists", key="tier"), False),
        (expression("DoesNotExist"), False),
        (expression("DoesNotExist", key="tier"), True),
        ({"matchLabels": {"app": "api"}} | expression("Exists", key="tier"), False),
    ],
)
def test_selector_selects_as_kubernetes_does(selector, expected):
    assert selects(selector, {"app": "api"}) is expected


def test_selector_becomes_the_apis_query():
    selector = {
        "matchLabels": {"tier": "back", "app": "api"},
        "matchExpressions": [
            {"key": "track", "operator": "In", "values": ["stable", "canary"]},
            {"key": "zone", "operator": "NotIn", "values": ["x"]},
            {"key": "live", "operator": "Exists"},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert selector_text(selector) == "app=api,tier=back,track in (stable,canary),zone notin (x),live,!old"


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}, "matchExpressions": []}])
def test_empty_selector_is_no_query(selector):
    """It would find every pod of the namespace."""
    with pytest.raises(ValueError, match="empty selector"):
        selector_text(selector)


@pytest.mark.parametrize("selector", [expression("Near"), {"matchExpressions": [{"key": "app"}]}])
def test_unknown_requirement_matches_nothing_silently(selector):
    with pytest.raises(KeyError):
        selects(selector, {"app": "api"})
    with pytest.raises(KeyError):
        selector_text(selector)
