from __future__ import annotations

from remediations.core.model.facts import History
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import ask


def test_other_remediation_in_flight_on_the_target_holds_by_id():
    outcome = ask("target_busy", history=History(in_flight=("0007",)))
    assert outcome.reason is HoldReason.TARGET_BUSY
    assert "0007" in outcome.detail


def test_nothing_in_flight_passes():
    assert ask("target_busy").reason is None
