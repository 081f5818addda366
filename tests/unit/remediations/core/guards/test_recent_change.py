from __future__ import annotations

import pytest

from remediations.core.model.cluster import ObjectChange
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, a_remediation, an_alert, ask, facts


def began(age: float, *, changed: float, starts_at: str = ""):
    """An alert of a given age, and a change of a given age."""
    remediation = a_remediation(created_at=NOW - age, alert=an_alert(starts_at=starts_at))
    changes = Fact((ObjectChange("helm", "spec.template", NOW - changed),), "fields")
    return ask("recent_change", remediation=remediation, facts=facts(changes=changes))


@pytest.mark.parametrize("changed", [5, 100, 905, -50])
def test_alert_that_began_soon_after_a_change_is_held_and_the_change_named(changed):
    outcome = began(5, changed=changed)
    assert outcome.reason is HoldReason.RECENT_CHANGE
    assert "helm changed spec.template" in outcome.detail


@pytest.mark.parametrize("changed", [906, -70])
def test_change_long_before_or_after_the_beginning_passes(changed):
    assert began(5, changed=changed).reason is None


def test_beginning_is_what_the_alert_says_when_that_is_earlier():
    assert began(5, changed=3600, starts_at="2023-11-14T21:20:00Z").reason is HoldReason.RECENT_CHANGE
    assert began(5, changed=100, starts_at="2099-01-01T00:00:00Z").reason is HoldReason.RECENT_CHANGE
    assert began(5, changed=100, starts_at="no time").reason is HoldReason.RECENT_CHANGE
