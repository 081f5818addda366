from __future__ import annotations

from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import NOW, a_remediation, ask


def test_remediation_as_old_as_the_policy_allows_expires():
    outcome = ask("expiry", remediation=a_remediation(created_at=NOW - 900))
    assert outcome.reason is HoldReason.EXPIRED
    assert "900 s" in outcome.detail


def test_remediation_a_moment_younger_passes():
    assert ask("expiry", remediation=a_remediation(created_at=NOW - 899.9)).reason is None


def test_remediation_from_the_future_of_a_clock_that_went_back_passes():
    assert ask("expiry", remediation=a_remediation(created_at=NOW + 3600)).reason is None
