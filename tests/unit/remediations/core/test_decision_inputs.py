"""A decision made again from what was stored of it is the same decision."""

from __future__ import annotations

import pytest

from remediations.core.decision_inputs import from_text, make_inputs, to_text
from remediations.core.guard import GuardInput
from remediations.core.model.errors import JournalError
from tests.fakes.scenario_files import read_situations, requests_of

REQUESTS = [(item.name, request) for item in read_situations() for request in requests_of(item)]


@pytest.mark.parametrize("asked", [request for _, request in REQUESTS], ids=[name for name, _ in REQUESTS])
def test_decision_is_the_same_after_its_inputs_were_stored(asked: GuardInput):
    inputs = make_inputs(asked.remediation, asked.policy, asked.policy_set, asked.facts, asked.history, asked.now)

    read = from_text(to_text(inputs))

    kept = ("remediation", "facts", "history", "now")
    assert [getattr(read, name) for name in kept] == [getattr(inputs, name) for name in kept]
    # A policy's parameters come back as JSON has them: lists for tuples, which decide the same.
    assert from_text(to_text(read)) == read
    assert read.decide() == inputs.decide()


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "\x00"])
def test_inputs_that_cannot_be_read_are_told(text):
    with pytest.raises(JournalError, match="inputs"):
        from_text(text)
