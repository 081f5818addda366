from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.policy_engine.parity import (
    BY_ID,
    BY_NAME,
    EnginePolicy,
    Naming,
    Parity,
    choose,
    compare,
    normalise,
)


def policy(name, number="0", *, sandbox=False, production=False):
    return EnginePolicy(number, name, {"sandbox": sandbox, "production": production})


POLICIES = (policy("Orders read", "1", sandbox=True, production=True), policy("Orders delete", "2", sandbox=True))
REAL = ["policies/orders/production/enabled/policy_1.rego"]


@pytest.mark.parametrize(
    ("environment", "modules", "parity", "is_equal"),
    [
        ("sandbox", ["enabled/orders-read.rego", "enabled/orders_delete.rego"], Parity(2, 2, 0, 0), True),
        ("sandbox", ["enabled/orders-read.rego"], Parity(2, 1, 1, 0), False),
        ("production", ["enabled/orders-read.rego"], Parity(1, 1, 0, 0), True),
        ("production", ["orders-read", "orders-delete"], Parity(1, 2, 0, 1), False),
        ("production", ["orders-read", "lib/time.rego"], Parity(1, 2, 0, 0), True),
        ("production", [], Parity(1, 0, 1, 0), False),
        ("production", REAL, Parity(1, 1, 0, 0), True),
        ("sandbox", REAL, Parity(2, 1, 2, 0), False),
        ("production", [*REAL, "policy_2.rego", "system/opal.rego"], Parity(1, 3, 0, 1), False),
        ("production", ["policy_9.rego"], Parity(1, 1, 1, 1), False),
        ("production", [*REAL, "policies/orders/sandbox/enabled/policy_9.rego"], Parity(1, 2, 0, 0), True),
        ("production", [*REAL, "lib/time.rego"], Parity(1, 2, 0, 0), True),
        ("production", ["lib/time.rego", "main"], Parity(1, 2), None),
    ],
)
def test_engine_is_compared_with_its_environment(environment, modules, parity, is_equal):
    """P2: by the product's own names, by names of people, and not at all when neither fits."""
    found = compare(POLICIES, modules, environment, choose(POLICIES, modules, (BY_ID, BY_NAME), None))
    assert found == parity
    assert found.is_equal is is_equal


def test_environment_without_enabled_policies_is_unknown_beside_modules_that_nothing_explains():
    """P2: the false "equal" of the other environment."""
    policies = (policy("orders", "1", sandbox=True),)
    assert (
        compare(policies, ["lib/x.rego"], "production", choose(policies, ["lib/x.rego"], (BY_NAME,), None)).is_equal
        is None
    )
    assert compare(policies, [], "production", None).is_equal is True


def test_modules_in_the_folder_of_another_environment_are_not_withdrawn_ones():
    """P2: an engine that loads the product's whole repository holds the modules of both environments."""
    policies = [policy("read", "1", sandbox=True, production=True), policy("write", "2", sandbox=True)]
    modules = [f"policies/orders/{path}.rego" for path in ("sandbox/enabled/policy_1", "sandbox/enabled/policy_2")]
    modules.append("policies/orders/production/enabled/policy_1.rego")
    assert compare(policies, modules, "production", BY_ID) == Parity(1, 3, 0, 0)
    assert compare(policies, modules[:2], "production", BY_ID) == Parity(1, 2, 1, 0)
    assert compare(policies, ["policy_2.rego"], "production", BY_ID) == Parity(1, 1, 1, 1)


def test_policy_that_was_deleted_and_is_still_held_is_a_withdrawn_one():
    """The 2025.10 product's DELETE /policies/{id} deletes the row and leaves the file in the repository."""
    modules = [*REAL, "policies/orders/production/enabled/policy_9.rego"]
    assert compare(POLICIES, modules, "production", BY_ID) == Parity(1, 2, 0, 1)
    assert compare((), REAL, "production", choose((), REAL, (BY_ID, BY_NAME), None)) == Parity(0, 1, 0, 1)


@pytest.mark.parametrize(
    ("resources", "modules", "parity"),
    [
        ({"orders"}, ["policy_1"], Parity(1, 1, 0, 0)),
        ({"orders"}, ["policy_1", "policy_2"], Parity(1, 2, 0, 0)),
        ({"orders"}, ["policy_2"], Parity(1, 1, 1, 0)),
        ({"orders"}, ["policy_1", "policy_3"], Parity(1, 2, 0, 1)),
        ({"orders", "bills"}, ["policy_1"], Parity(2, 1, 1, 0)),
        (set(), ["policy_1"], Parity(2, 1, 1, 0)),
    ],
)
def test_policies_for_resources_of_other_bouncers_need_not_be_held(resources, modules, parity):
    """The product configures each bouncer with its own resource's name as a filter."""
    policies = (
        EnginePolicy("1", "read", {"production": True}, "orders"),
        EnginePolicy("2", "pay", {"production": True}, "bills"),
        EnginePolicy("3", "old", {"production": False}, "bills"),
    )
    assert compare(policies, modules, "production", BY_ID, resources=resources) == parity


def test_policy_without_a_known_resource_is_expected_everywhere():
    assert compare(POLICIES, ["policy_1"], "sandbox", BY_ID, resources={"orders"}) == Parity(2, 1, 1, 0)


def test_no_policy_counts_as_deleted_while_a_row_cannot_be_read():
    modules = [*REAL, "policies/orders/production/enabled/policy_9.rego"]
    assert compare(POLICIES, modules, "production", BY_ID, is_complete=False) == Parity(1, 2, 0, 0)


def test_naming_that_fitted_before_tells_that_every_policy_is_gone():
    assert choose(POLICIES, ["lib/time.rego"], (BY_ID, BY_NAME), BY_NAME) is BY_NAME
    assert compare(POLICIES, ["lib/time.rego"], "sandbox", BY_NAME) == Parity(2, 1, 2, 0)


def test_pattern_of_the_operator_that_fits_nothing_compares_nothing():
    wrong = Naming("name", re.compile("bundle-(.*)"), is_telling=False)
    assert choose(POLICIES, REAL, (wrong,), None) is None


def test_policy_enabled_under_one_of_two_equal_names_is_expected():
    policies = (policy("a", production=False), policy("A", production=True))
    assert compare(policies, ["a"], "production", BY_NAME).is_equal


def test_names_are_compared_without_case_and_punctuation():
    assert normalise(" Orders / Read!") == normalise("orders_read") == "orders-read"
    assert normalise("注文") != normalise("請求"), "two names without a Latin letter are two names"


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3)), st.sets(st.text(alphabet="abc", min_size=1)))
def test_engine_with_exactly_the_enabled_policies_is_always_equal(disabled, enabled):
    policies = [policy(key, production=True) for key in enabled] + [policy(f"x{key}") for key in disabled]
    assert compare(policies, [f"p/{key}.rego" for key in enabled], "production", BY_NAME).is_equal
