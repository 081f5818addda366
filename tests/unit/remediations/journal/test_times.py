from __future__ import annotations

import json

import pytest

from remediations.journal.records import list_content
from remediations.journal.standing import Standing
from remediations.journal.times import add_times
from tests.fakes.decisions import NOW, a_remediation

TIME = "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("at", "time"),
        ("created_at", "created_time"),
        ("expires_at", "expires_time"),
        ("until", "until_time"),
        ("since", "since_time"),
        ("lease_until", "lease_until_time"),
    ],
)
def test_time_stands_beside_its_number(name, beside):
    assert add_times([{"a": {name: NOW}}]) == [{"a": {name: NOW, beside: TIME}}]


@pytest.mark.parametrize(
    "content",
    [
        {"until": None, "at": "soon", "is_at": True, "seconds": 1.0, "that": 2.0},
        {"at": NOW, "time": "told already"},
        {"recorded_facts": {"start": {"at": NOW}}, "plan": {"written_at": NOW}},
        "text",
        None,
    ],
)
def test_nothing_is_added_to_what_is_no_time_or_is_given_back(content):
    assert add_times(content) == content


@pytest.mark.parametrize("number", [1e30, float("nan"), float("inf"), -1e30])
def test_number_that_is_no_date_has_none_beside_it(number):
    assert add_times({"until": number})["until_time"] is None


def test_every_time_of_a_remediation_has_the_one_form():
    remediation = a_remediation(created_at=NOW, updated_at=NOW, next_at=NOW, written_at=NOW, lease_until=NOW)
    (item,) = add_times(list_content([Standing(remediation, {}, None)]))

    numbers = {name for name, value in item.items() if value == NOW}
    times = {name for name, value in item.items() if value == TIME}
    assert len(numbers) == len(times) == 5
    assert json.dumps(item)
