from __future__ import annotations

import pytest

from remediations.core.model.cluster import Pods, Template, TemplateSource
from remediations.core.model.facts import Fact
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.limits import Consent
from tests.fakes.decisions import NOW, ask, facts, restart_policy, unknown

UNREAD = TemplateSource("Secret/db", None, "permission")


def with_sources(*sources: TemplateSource, pods=None, accept=()):
    found = facts(template=Fact(Template(sources=sources), "t"), pods=pods or Fact(Pods(NOW - 100), "pods"))
    return ask("configuration", facts=found, policy=restart_policy(accept=frozenset(accept)))


def test_change_since_the_oldest_pod_started_holds_and_is_named():
    outcome = with_sources(TemplateSource("ConfigMap/api", NOW - 99), TemplateSource("Secret/db", NOW - 500))
    assert outcome.reason is HoldReason.CONFIGURATION_CHANGED
    assert outcome.detail.startswith("ConfigMap/api changed")


def test_configuration_older_than_every_pod_passes():
    assert with_sources(TemplateSource("ConfigMap/api", NOW - 100)).reason is None


@pytest.mark.parametrize("pods", [None, unknown()])
def test_unreadable_source_or_pods_hold(pods):
    assert with_sources(UNREAD, pods=pods).reason is HoldReason.CONFIGURATION_UNKNOWN
    assert with_sources(TemplateSource("a", 1.0), pods=unknown()).reason is HoldReason.CONFIGURATION_UNKNOWN
    assert ask("configuration", facts=facts(template=unknown())).reason is HoldReason.CONFIGURATION_UNKNOWN


def test_no_pod_has_started_passes():
    assert with_sources(TemplateSource("a", NOW), pods=Fact(Pods(None), "p")).reason is None


def test_consent_passes_only_what_it_names():
    changed = TemplateSource("ConfigMap/api", NOW)
    assert with_sources(UNREAD, accept=(Consent.UNREAD_CONFIGURATION,)).reason is None
    assert with_sources(UNREAD, changed, accept=(Consent.UNREAD_CONFIGURATION,)).reason is not None
    assert with_sources(changed, accept=(Consent.CHANGED_CONFIGURATION,)).reason is None
    assert with_sources(UNREAD, accept=(Consent.CHANGED_CONFIGURATION,)).reason is HoldReason.CONFIGURATION_UNKNOWN
