"""What takes a change back, stored and merged: a row without a gap goes back to where it began."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remediations.core.model.undo import Revert, Undo, merge_undos

FIRST = Undo("uid-2", "maxReplicas", 10, 12, "cpu * $new / $old < bool 0.6", ("workloads",), 1800.0, 14400.0)
SECOND = replace(FIRST, before=12, after=14)
LEAST = replace(FIRST, field="minReplicas", before=3, after=5)


@pytest.mark.parametrize(
    ("undos", "expected"),
    [
        ([FIRST], [FIRST]),
        ([FIRST, SECOND], [replace(FIRST, after=14)]),
        ([FIRST, replace(SECOND, before=11)], [replace(SECOND, before=11)]),
        ([FIRST, LEAST], [FIRST, LEAST]),
        ([LEAST, FIRST, SECOND], [LEAST, replace(FIRST, after=14)]),
        ([FIRST, replace(SECOND, owner="uid-9")], [replace(SECOND, owner="uid-9")]),
        ([FIRST, replace(LEAST, owner="uid-9")], [replace(LEAST, owner="uid-9")]),
    ],
    ids=["one", "two in a row", "a gap", "two fields", "mixed", "another object", "another object, another field"],
)
def test_changes_are_merged_by_field(undos, expected):
    assert list(merge_undos(undos)) == expected


def test_numbers_of_the_greatest_bound_stand_in_the_question():
    taking = Revert((FIRST, LEAST), ("op-1",), 0.0)
    assert taking.promql == "cpu * 12 / 10 < bool 0.6"
    assert replace(taking, changes=(LEAST,)).promql == "cpu * 5 / 3 < bool 0.6"
