"""The inputs of a decision as text, complete, so that it can be made again from the journal or from a file."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass, replace
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from remediations.core.decide import decide
from remediations.core.model.decision import Decision
from remediations.core.model.errors import JournalError
from remediations.core.model.facts import Facts, History
from remediations.core.model.remediation import Remediation
from remediations.core.model.stored import rebuild
from remediations.core.policies.policy import Policy, PolicySet

INPUTS = "inputs"
"""Key of a decision's record under which these stand."""
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that `decide` is given."""

    remediation: Remediation
    policy: Policy
    policy_set: PolicySet
    """With no other policy in it than this one."""
    facts: Facts
    history: History
    now: float

    def decide(self) -> Decision:
        """The decision that follows."""
        return decide(self.remediation, self.policy, self.policy_set, self.facts, self.history, self.now)


def make_inputs(
    remediation: Remediation, policy: Policy, policy_set: PolicySet, facts: Facts, history: History, now: float
) -> Inputs:
    """The inputs, without what the decision does not look at."""
    return Inputs(remediation, policy, replace(policy_set, policies=(policy,)), facts, history, now)


def to_text(inputs: Inputs) -> str:
    """The inputs as short ASCII; about 2 KB for an ordinary decision."""
    return base64.b85encode(zlib.compress(msgspec.json.encode(inputs, enc_hook=_name), 6)).decode()


def from_text(text: str) -> Inputs:
    """The inputs that `to_text` was given; raises JournalError when they cannot be read."""
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(base64.b85decode(text), MAX_BYTES)
        return cast("Inputs", rebuild(Inputs, msgspec.json.decode(content)))
    except (ValueError, zlib.error, binascii.Error) as error:
        raise JournalError(f"the stored inputs cannot be read: {error}") from error


def facts_from_data(data: Any) -> Facts:
    """Facts from JSON or YAML, named as in `remediations.core.model.facts`; raises ValueError naming the field."""
    return cast("Facts", rebuild(Facts, data))


def facts_to_data(facts: Facts) -> Any:
    """Facts as JSON-able data; `facts_from_data` gives equal ones."""
    return msgspec.to_builtins(facts, enc_hook=_name)


def _name(value: Any) -> str:
    """A time zone as its name."""
    if isinstance(value, ZoneInfo):
        return value.key
    raise NotImplementedError(f"{type(value).__name__} cannot be stored")
