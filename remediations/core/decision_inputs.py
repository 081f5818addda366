"""The complete inputs of a decision, so that it can be repeated from the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remediations.core.codec import CodecError, from_short_text, read_stored
from remediations.core.decide import decide
from remediations.core.model.decision import INPUTS, Decision
from remediations.core.model.errors import DamagedRecordError
from remediations.core.model.facts import Facts, History
from remediations.core.model.remediation import Record, Remediation
from remediations.core.policies.policy import Policy, PolicySet


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that `decide` is given."""

    remediation: Remediation
    policy: Policy
    policy_set: PolicySet
    """Contains only this policy."""
    facts: Facts
    history: History
    now: float

    def decide(self) -> Decision:
        """The decision that follows."""
        return decide(self.remediation, self.policy, self.policy_set, self.facts, self.history, self.now)


def make_inputs(
    remediation: Remediation, policy: Policy, policy_set: PolicySet, facts: Facts, history: History, now: float
) -> Inputs:
    """The inputs, without the parts that the decision does not use."""
    return Inputs(remediation, policy, replace(policy_set, policies=(policy,)), facts, history, now)


def read_inputs(record: Record) -> Inputs:
    """The inputs that the record of a decision holds; raises DamagedRecordError.

    Until schema 4 of the journal they were a text (`to_short_text`).
    """
    stored = record.data[INPUTS]
    try:
        data = from_short_text(stored) if isinstance(stored, str) else stored
    except CodecError as error:
        raise DamagedRecordError("record", record.number, f"data.{INPUTS}: {error}") from error
    return read_stored(Inputs, data, "record", record.number, f"data.{INPUTS}")
