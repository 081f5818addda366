from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.parity import Parity, Policy, compare, normalise

FILE_NAME = re.compile(r"([^/]+?)(?:\.rego)?$")


def policy(key, *, sandbox=False, production=False):
    return Policy(key, {"sandbox": sandbox, "production": production})


POLICIES = (policy("Orders read", sandbox=True, production=True), policy("Orders delete", sandbox=True))


@pytest.mark.parametrize(
    ("environment", "modules", "parity", "is_equal"),
    [
        ("sandbox", ["enabled/orders-read.rego", "enabled/orders_delete.rego"], Parity(2, 0, 0, 2), True),
        ("sandbox", ["enabled/orders-read.rego"], Parity(2, 1, 0, 1), False),
        ("production", ["enabled/orders-read.rego"], Parity(1, 0, 0, 1), True),
        ("production", ["orders-read", "orders-delete"], Parity(1, 0, 1, 2), False),
        ("production", ["orders-read", "lib/time.rego"], Parity(1, 0, 0, 2), True),
        ("production", [], Parity(1, 1, 0, 0), False),
    ],
)
def test_engine_is_compared_with_its_environment(environment, modules, parity, is_equal):
    found = compare(POLICIES, modules, environment, FILE_NAME)
    assert found == parity
    assert found.is_equal is is_equal


def test_policy_enabled_under_one_of_two_equal_names_is_expected():
    policies = (policy("a", production=False), policy("A", production=True))
    assert compare(policies, ["a"], "production", FILE_NAME).is_equal


def test_names_are_compared_without_case_and_punctuation():
    assert normalise(" Orders / Read!") == normalise("orders_read") == "orders-read"


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3)), st.sets(st.text(alphabet="abc", min_size=1)))
def test_engine_with_exactly_the_enabled_policies_is_always_equal(disabled, enabled):
    policies = [policy(key, production=True) for key in enabled] + [policy(f"x{key}") for key in disabled]
    assert compare(policies, [f"p/{key}.rego" for key in enabled], "production", FILE_NAME).is_equal
