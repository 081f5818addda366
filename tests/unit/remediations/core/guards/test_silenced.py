from __future__ import annotations

from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import ask, facts, unknown


def test_silence_set_since_the_webhook_holds_and_is_named():
    outcome = ask("silenced", facts=facts(mutes=Fact(("silence 1 by sam: deploy",), "am")))
    assert (outcome.reason, outcome.detail) == (HoldReason.SILENCED, "silence 1 by sam: deploy")


def test_alertmanager_that_cannot_be_asked_holds():
    assert ask("silenced", facts=facts(mutes=unknown())).reason is HoldReason.SILENCE_UNKNOWN


def test_nothing_muting_passes():
    assert ask("silenced").reason is None
