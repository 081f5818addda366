"""A decision made again from what was stored of it is the same decision."""

from __future__ import annotations

from typing import Any

import pytest

from remediations.core.codec import from_json, to_json, to_short_text
from remediations.core.decision_inputs import Inputs, make_inputs, read_inputs
from remediations.core.guard import GuardInput
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.remediation import Record, State
from tests.fakes.decisions import NOW
from tests.fakes.scenario_files import read_situations, requests_of

REQUESTS = [(item.name, request) for item in read_situations() for request in requests_of(item)]


def stored(inputs: Any) -> Record:
    return Record(NOW, "decision", State.HELD, {"inputs": inputs}, 7)


def after_json(inputs: Inputs) -> Inputs:
    return read_inputs(stored(from_json(to_json(inputs))))


@pytest.mark.parametrize("asked", [request for _, request in REQUESTS], ids=[name for name, _ in REQUESTS])
def test_decision_is_the_same_after_its_inputs_were_stored(asked: GuardInput):
    inputs = make_inputs(asked.remediation, asked.policy, asked.policy_set, asked.facts, asked.history, asked.now)

    read = after_json(inputs)

    kept = ("remediation", "facts", "history", "now")
    assert [getattr(read, name) for name in kept] == [getattr(inputs, name) for name in kept]
    # A policy's parameters come back as JSON has them: lists for tuples, which decide the same.
    assert after_json(read) == read
    assert read.decide() == inputs.decide()
    assert read_inputs(stored(to_short_text(inputs))) == read


@pytest.mark.parametrize(
    "inputs", ["", "nonsense", "{}", "\x00", None, 5, {}, to_short_text({}), to_short_text({})[:-2]]
)
def test_inputs_that_cannot_be_read_are_told(inputs: Any):
    with pytest.raises(DamagedRecordError, match=r"^record 7: data\.inputs: "):
        read_inputs(stored(inputs))
