"""Paths of the engine's state machine that are too important to wait until they are drawn."""

from __future__ import annotations

import pytest

from tests.fakes.engine import LEASE_SECONDS
from tests.unit.remediations.engine.test_engine_machine import EngineMachine


@pytest.mark.parametrize("is_reached", [True, False], ids=["reached", "lost"])
@pytest.mark.parametrize("number", [1, 2])
def test_process_that_dies_with_a_call_on_its_way(number: int, *, is_reached: bool) -> None:
    machine = EngineMachine()
    machine.die_while_calling(number, is_reached)
    machine.advance_the_clock(LEASE_SECONDS + 1.0, rolls_out=False)
    machine.work("one", 3)
    play_to_the_end(machine)


@pytest.mark.parametrize("point", range(1, 13))
def test_write_that_arrives_late(point: int) -> None:
    """At each call of the following reading."""
    machine = EngineMachine()
    machine.let_a_write_arrive_late(point, rolls_out=False, is_broken=False)
    play_to_the_end(machine)


def play_to_the_end(machine: EngineMachine) -> None:
    """The invariants, checked after every rule and once everything is closed."""
    try:
        machine.every_call_is_made_once_for_a_remediation()
        machine.every_effect_is_one_and_was_intended_before()
    finally:
        machine.teardown()
