from __future__ import annotations

from remediations.core.model.alert import Target
from remediations.core.model.facts import History
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, a_past_action, ask


def test_write_younger_than_the_cooldown_holds_until_it_is_over():
    outcome = ask("cooldown", history=History((a_past_action(written_at=NOW - 899),)))
    assert (outcome.reason, outcome.until) == (HoldReason.COOLDOWN, NOW + 1)


def test_write_as_old_as_the_cooldown_passes():
    assert ask("cooldown", history=History((a_past_action(written_at=NOW - 900),))).reason is None


def test_newest_of_several_writes_decides():
    actions = (a_past_action(written_at=NOW - 10), a_past_action(written_at=NOW - 5000))
    assert ask("cooldown", history=History(actions)).until == NOW + 890


def test_write_to_another_target_passes():
    other = a_past_action(written_at=NOW - 1, target=Target("control-core", "Deployment", "bouncer"))
    assert ask("cooldown", history=History((other,))).reason is None


def test_write_of_another_policy_passes():
    assert ask("cooldown", history=History((a_past_action(written_at=NOW - 1, policy="scale-api"),))).reason is None


def test_own_write_that_was_refused_passes():
    assert ask("cooldown", history=History((a_past_action(written_at=NOW - 1, remediation="0001"),))).reason is None


def test_no_write_passes():
    assert ask("cooldown").reason is None
