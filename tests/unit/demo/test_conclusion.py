"""How the demo counts its acts."""

from __future__ import annotations

import pytest

from demo.__main__ import conclude
from demo.timeline import Report

DONE = Report("done", "as it must be", {"written": 3.0})
HELD = Report("held", "as it must be", {})
LATE = Report("late", "OVERDUE", {}, overdue="the alert resolves: not within 300 s")
WRONG = Report("wrong", "WRONG", {"written": 3.0}, wrong=("1 changes are written; written by: a, b",))


def test_acts_in_order_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    conclude([DONE, HELD])
    assert capsys.readouterr().out.endswith("acted 1, held 1, wrong 0\n")


def test_overdue_act_is_no_wrong_one_and_not_well_either(capsys: pytest.CaptureFixture[str]) -> None:
    """A slow machine must be reported neither as a wrong action nor as a hold."""
    conclude([DONE, LATE, WRONG])
    assert capsys.readouterr().out.endswith("acted 2, held 0, wrong 1, overdue 1\n")
    assert [report.is_well for report in (DONE, LATE, WRONG)] == [True, False, False]
