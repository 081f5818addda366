"""The milestones from a remediation's records, for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediations.core.model.remediation import State
from remediations.core.policies.policy import Rung
from remediations.notifications.timeline import MAX_TEXT, MilestoneKind, harmless
from tests.fakes.decisions import API, NOW, restart_policy
from tests.fakes.notifications import REPAIRED, a_hold, a_verdict, a_write, an_act, told


def kinds(*records, **changes):
    return [(moment.kind.value, moment.reason) for moment in told(*records, **changes).moments]


def test_story_of_a_repair_is_told_in_order():
    assert kinds(*REPAIRED) == [
        ("held", "dependency_down"),
        ("planned", "guards_passed"),
        ("acted", "written"),
        ("verified", "succeeded"),
    ]


def test_hold_is_told_again_only_for_another_reason():
    found = told(a_hold(0), a_hold(15), a_hold(30, "cooldown"), a_hold(45)).moments
    assert [(item.reason, item.at - NOW) for item in found] == [
        ("dependency_down", 0),
        ("cooldown", 30),
        ("dependency_down", 45),
    ]


def test_hold_that_waits_for_a_person_is_a_plan():
    assert kinds(a_hold(0, "approval", proposal={"plan_hash": "0"})) == [("planned", "approval")]
    assert kinds(a_hold(0, "rejected", proposal={"plan_hash": "0"})) == [("held", "rejected")]


@pytest.mark.parametrize("state", [State.FAILED, State.UNVERIFIED])
def test_repair_without_proof_is_a_failure_with_its_reason(state):
    assert kinds(a_write(0), a_verdict(9, state))[-1] == ("failed", state.value)


def test_only_a_write_that_arrived_is_an_action():
    assert kinds(an_act(0), a_write(1, "refused")) == [("planned", "guards_passed")]
    assert kinds(an_act(0), a_write(1, dry_run=True)) == [("planned", "guards_passed")]
    assert kinds(a_write(1, "already_done")) == [("acted", "written")]


def test_target_is_known_by_the_newest_uid():
    newer = a_hold(9, facts={"workload": {"value": {"uid": "uid-2"}}})
    assert told(a_hold(0), newer, a_hold(10, facts={"workload": {"value": None}})).uid == "uid-2"
    assert told(a_hold(0, facts={"sights": {"cron_job": {"uid": "uid-3"}}})).uid == "uid-3"
    assert told(a_hold(0, facts={"sights": {"cron_job": "missing"}})).uid == ""


def test_target_of_a_rung_is_listed_too():
    elsewhere = restart_policy(targets=(), ladder=(Rung("restart_workload", {}, (API,)),))
    assert told(a_hold(0), policy=elsewhere).is_listed
    assert not told(a_hold(0), policy=restart_policy(targets=())).is_listed


def test_words_of_others_can_do_nothing():
    assert harmless("a\nb\x1b[31m <!channel> @here `rm`") == "a\\nb\\x1b[31m (!channel) (at)here 'rm'"
    assert "planted" not in harmless("postgresql://cc:planted@db/x password=planted")


@given(st.text(st.characters(), max_size=2 * MAX_TEXT))
def test_any_text_becomes_one_line_that_can_be_sent(text):
    found = harmless(text)
    assert len(found) <= MAX_TEXT
    assert found.isprintable() or not found
    assert not set("<>@`\n") & set(found)
    found.encode()


def test_nothing_is_told_of_a_story_without_decisions():
    assert told(a_hold(0, decision="not_needed")).moments == ()
    assert MilestoneKind("held") is MilestoneKind.HELD
