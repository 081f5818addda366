"""A decision made again from what was stored of it is the same decision."""

from __future__ import annotations

import pytest

from remediations.journal.errors import JournalError
from remediations.recorded import facts_from_data, facts_to_data, from_text, make_inputs, to_text
from tests.fakes.decisions import a_request, facts
from tests.fakes.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)
def test_decision_is_the_same_after_its_inputs_were_stored(scenario: Scenario):
    request = a_request(**scenario.changes)
    inputs = make_inputs(
        request.remediation, request.policy, request.policy_set, request.facts, request.history, request.now
    )

    read = from_text(to_text(inputs))

    assert read == inputs
    assert read.decide() == inputs.decide()


def test_facts_are_read_as_they_were_written():
    assert facts_from_data(facts_to_data(facts())) == facts()


def test_fault_in_recorded_facts_names_its_field():
    data = facts_to_data(facts())
    data["workload"]["value"]["generation"] = "many"

    with pytest.raises(ValueError, match=r"generation|workload"):
        facts_from_data(data)


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "\x00"])
def test_inputs_that_cannot_be_read_are_told(text):
    with pytest.raises(JournalError, match="inputs"):
        from_text(text)
