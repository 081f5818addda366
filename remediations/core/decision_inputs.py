"""The complete inputs of a decision as text, so that it can be repeated from the journal or from a file."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, replace

from remediations.core.codec import from_data, from_json, to_json
from remediations.core.decide import decide
from remediations.core.model.decision import Decision
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Facts, History
from remediations.core.model.remediation import Remediation
from remediations.core.policies.policy import Policy, PolicySet

INPUTS = "inputs"
"""Key of the inputs in a decision's record."""
MAX_BYTES = 16 * 1024 * 1024


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


def to_text(inputs: Inputs) -> str:
    """The inputs as compact ASCII; about 2 KB for an ordinary decision."""
    return base64.b85encode(zlib.compress(to_json(inputs).encode(), 6)).decode()


def from_text(text: str) -> Inputs:
    """The inputs that `to_text` got; raises JournalError if they cannot be read."""
    try:
        inflater = zlib.decompressobj()
        return from_data(Inputs, from_json(inflater.decompress(base64.b85decode(text), MAX_BYTES)))
    except (ValueError, zlib.error, binascii.Error) as error:
        raise JournalError(f"the stored inputs cannot be read: {error}") from error
