from __future__ import annotations

from dataclasses import replace

from remediations.core.decide import ACTIONS
from remediations.core.model.reasons import HoldReason
from tests.fakes.decisions import ask, facts, unknown


def test_workload_without_an_orchestrator_is_held():
    assert ask("target", facts=facts(has_orchestrator=False)).reason is HoldReason.NO_ORCHESTRATOR


def test_object_that_does_not_exist_is_missing():
    outcome = ask("target", facts=facts(workload=unknown("missing: deployments.apps not found")))
    assert outcome.reason is HoldReason.TARGET_MISSING


def test_object_that_cannot_be_read_is_unknown():
    outcome = ask("target", facts=facts(workload=unknown("timeout: no answer")))
    assert (outcome.reason, outcome.detail) == (HoldReason.TARGET_UNKNOWN, "timeout: no answer")


def test_readable_object_passes():
    assert ask("target").reason is None


def test_action_without_a_workload_needs_no_orchestrator():
    action = replace(ACTIONS["restart_workload"], effects=frozenset())
    assert ask("target", action=action, facts=facts(has_orchestrator=False)).reason is None
