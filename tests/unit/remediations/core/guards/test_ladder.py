from __future__ import annotations

from remediations.core.model.facts import History
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import State
from remediations.core.policies.policy import Rung, at_rung
from tests.fakes.decisions import API, NOW, a_past_action, ask, restart_policy

POLICY = restart_policy(ladder=(Rung("scale_workload", {"max_replicas_cap": 9}),))


def failed(*ages: float, state: State = State.FAILED):
    return History(tuple(a_past_action(written_at=NOW - age, state=state) for age in ages))


def test_every_rung_failed_holds():
    assert ask("ladder", policy=POLICY, history=failed(100, 200)).reason is HoldReason.LADDER_EXHAUSTED


def test_rung_that_is_left_passes():
    assert ask("ladder", policy=POLICY, history=failed(100)).reason is None


def test_old_failures_and_unknown_outcomes_do_not_climb():
    assert ask("ladder", policy=POLICY, history=failed(14400, 14500)).reason is None
    assert ask("ladder", policy=POLICY, history=failed(1, 2, state=State.UNVERIFIED)).reason is None


def test_write_that_never_arrived_neither_climbs_nor_ends_the_row():
    """R3: an expired remediation has sent something that the server did not take."""
    lost = a_past_action(written_at=NOW - 50, state=State.EXPIRED, attempts=1)
    assert ask("ladder", policy=POLICY, history=History((lost, *failed(100).actions))).reason is None
    held = ask("ladder", policy=POLICY, history=History((lost, *failed(100, 200).actions)))
    assert held.reason is HoldReason.LADDER_EXHAUSTED


def test_policy_without_a_ladder_passes():
    assert ask("ladder", history=failed(1, 2, 3)).reason is None


def test_rung_brings_its_action_and_keeps_the_targets():
    second = at_rung(POLICY, 1)
    assert (second.action, second.parameters, second.targets) == ("scale_workload", {"max_replicas_cap": 9}, (API,))
    assert at_rung(POLICY, 0) == POLICY
    assert at_rung(POLICY, 7).action == "scale_workload"


def test_writes_of_others_and_of_this_remediation_do_not_climb():
    foreign = (a_past_action(policy="x", state=State.FAILED), a_past_action(remediation="0001", state=State.FAILED))
    assert ask("ladder", policy=POLICY, history=History((*foreign, *failed(100).actions))).reason is None
