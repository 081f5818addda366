from __future__ import annotations

import pytest

from remediations.core.model.facts import Fact, ProcessStart
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, ask, facts, unknown


def after(silent: float | None, *, running: float):
    return ask("cold_start", facts=facts(start=Fact(ProcessStart(NOW - running, silent), "journal")))


def test_start_after_a_long_silence_holds_for_five_minutes():
    outcome = after(601, running=299)
    assert (outcome.reason, outcome.until) == (HoldReason.COLD_START, NOW + 1)


@pytest.mark.parametrize(("silent", "running"), [(600, 1), (3, 1), (None, 1), (86400, 300)])
def test_short_silence_new_journal_or_long_run_passes(silent, running):
    assert after(silent, running=running).reason is None


def test_unknown_start_holds():
    assert ask("cold_start", facts=facts(start=unknown())).reason is HoldReason.COLD_START
