"""P1: one bad item is dropped and counted, and never costs the others."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from exporter.items import (
    Loss,
    amount_of,
    as_number,
    count_of,
    counting,
    flag_of,
    member_of,
    past_of,
    read_each,
    text_of,
)

BAD: list[Any] = [None, True, "7", b"7", [], {}, -1, 1.5, float("nan"), float("inf"), 10**400, "\x00", "x" * 10_000]


@pytest.mark.parametrize("bad", BAD, ids=lambda each: repr(each)[:12])
def test_item_with_a_bad_field_is_dropped_alone(bad: Any) -> None:
    rows = [{"n": 1}, {"n": bad}, {}, {"n": 2}]
    with counting() as losses:
        found = read_each(rows, lambda row: count_of(row, "n"))
    assert found == [1, 2]
    assert losses.dropped == {Loss.MALFORMED: 2}


@pytest.mark.parametrize(
    ("read", "value", "expected", "loss"),
    [
        (amount_of, 3, 3.0, None),
        (amount_of, Decimal("0.5"), 0.5, None),
        (amount_of, None, None, None),
        (amount_of, -1, None, Loss.NUMBER),
        (amount_of, "3", None, Loss.NUMBER),
        (amount_of, float("nan"), None, Loss.NUMBER),
        (amount_of, 10**400, None, Loss.NUMBER),
        (flag_of, True, True, None),
        (flag_of, None, None, None),
        (flag_of, 1, None, Loss.MALFORMED),
        (flag_of, "true", None, Loss.MALFORMED),
        (lambda value: past_of(value, 1000.0), 1060.0, 1060.0, None),
        (lambda value: past_of(value, 1000.0), 1060.5, None, Loss.FUTURE),
        (lambda value: past_of(value, 1000.0), float("inf"), None, Loss.NUMBER),
    ],
)
def test_field_is_read_or_unknown_and_counted(read: Any, value: Any, expected: Any, loss: Loss | None) -> None:
    with counting() as losses:
        assert read(value) == expected
    assert losses.dropped == ({} if loss is None else {loss: 1})


@pytest.mark.parametrize(
    ("value", "label", "is_counted"),
    [("a", "a", False), ("z", "other", True), (7, "other", True), (None, "other", False)],
)
def test_value_outside_of_a_closed_set_is_counted_under_its_field(value: Any, label: str, is_counted: Any) -> None:
    """P5."""
    with counting() as losses:
        assert member_of(value, ("a", "b"), "table.column") == label
    assert losses.unknown == ({"table.column": 1} if is_counted else {})


async def test_what_tasks_and_threads_of_a_collection_drop_is_counted_in_it() -> None:
    async def drop() -> None:
        await asyncio.to_thread(read_each, [{}], lambda row: text_of(row, "x"))

    with counting() as losses:
        async with asyncio.TaskGroup() as group:
            group.create_task(drop(), name="one")
            group.create_task(drop(), name="two")
    assert losses.dropped == {Loss.MALFORMED: 2}


def test_outside_of_a_collection_nothing_is_noted() -> None:
    assert read_each([{}, {"x": "y"}], lambda row: text_of(row, "x")) == ["y"]
    assert str(as_number("7")) == "nan"
