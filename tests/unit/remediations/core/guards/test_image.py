from __future__ import annotations

from remediations.core.model.cluster import Template
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent
from tests.fakes.decisions import ask, facts, restart_policy, unknown

LATEST = facts(template=Fact(Template(("api: api:latest",)), "t"))


def test_image_pulled_by_tag_holds():
    assert ask("image", facts=LATEST).reason is HoldReason.IMAGE_UNPINNED


def test_unknown_template_holds():
    assert ask("image", facts=facts(template=unknown())).reason is HoldReason.TEMPLATE_UNREADABLE


def test_pinned_image_or_consent_passes():
    assert ask("image").reason is None
    policy = restart_policy(accept=frozenset({Consent.UNPINNED_IMAGE}))
    assert ask("image", facts=LATEST, policy=policy).reason is None
