from __future__ import annotations

from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, a_policy_set, ask, frozen, restart_policy

CLOSED = frozen(begins_at=NOW + 1, ends_at=NOW + 2)


def test_freeze_of_the_file_holds_until_its_end():
    outcome = ask("freeze_window", policy_set=a_policy_set(freeze=(CLOSED, frozen())))
    assert (outcome.reason, outcome.until) == (HoldReason.FREEZE_WINDOW, NOW + 60)


def test_freeze_of_the_policy_holds():
    assert ask("freeze_window", policy=restart_policy(freeze=(frozen(),))).reason is HoldReason.FREEZE_WINDOW


def test_freeze_that_begins_later_passes():
    assert ask("freeze_window", policy_set=a_policy_set(freeze=(CLOSED,))).reason is None


def test_time_outside_the_schedule_holds_and_inside_passes():
    assert ask("freeze_window", policy=restart_policy(schedule=(CLOSED,))).reason is HoldReason.OUTSIDE_SCHEDULE
    assert ask("freeze_window", policy=restart_policy(schedule=(CLOSED, frozen()))).reason is None
