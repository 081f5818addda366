"""faults.md D1: an act that does not end in time is overdue, never wrong, and a busy machine gets more time."""

from __future__ import annotations

import io
import os
from typing import cast

import pytest

from demo.acts import Act, perform
from demo.stage import Stage
from demo.timeline import Timeline
from demo.watcher import Watcher
from tools import slowness

SECONDS = 0.01
STAGE = cast("Stage", None)


class Blind(Watcher):
    """A watcher that sees nothing: only waiting is tried here."""

    def poll(self) -> None:
        """Reads nothing."""


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Act:
    """An act on a machine that was idle when the demo started."""
    monkeypatch.setenv(slowness.VARIABLE, "1")
    timeline = Timeline(io.StringIO())
    return Act(STAGE, timeline, Blind(STAGE, timeline), [])


def waits_in_vain(act: Act) -> str:
    act.watcher.wait("the alert resolves", lambda: False, SECONDS)
    return "never"


def is_busy() -> bool:
    return os.environ[slowness.VARIABLE] == "4.0"


def test_d1_act_that_waits_in_vain_is_overdue_and_not_wrong(act, monkeypatch):
    monkeypatch.setattr(slowness, "_measure", lambda: 1.0)
    report = perform(act, "act 3, CPU saturated: raised", waits_in_vain)
    assert (report.outcome, report.wrong) == ("OVERDUE", ())
    assert report.overdue.startswith("the alert resolves: not within ")
    assert not report.is_well


def test_d1_machine_that_became_busy_gets_more_time_and_says_so(act, monkeypatch):
    monkeypatch.setattr(slowness, "_measure", lambda: 4.0)
    act.watcher.wait("the alert resolves", is_busy, SECONDS)
    assert "this machine is busier than before; waiting 0 s until the alert resolves" in act.timeline.out.getvalue()


def test_d1_busy_machine_does_not_wait_for_ever(act, monkeypatch):
    monkeypatch.setattr(slowness, "_measure", lambda: 4.0)
    assert perform(act, "act 3", waits_in_vain).outcome == "OVERDUE"


def test_wrong_action_of_an_overdue_act_stays_wrong(act, monkeypatch):
    monkeypatch.setattr(slowness, "_measure", lambda: 1.0)
    act.check(is_so=False, sentence="1 change is written")
    report = perform(act, "act 3", waits_in_vain)
    assert (report.outcome, report.wrong) == ("WRONG", ("1 change is written",))
