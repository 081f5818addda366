"""Compares the policies that a policy engine holds with those that the control plane says it should hold. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

NOT_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy as the control plane has it: its key (name or id), and whether it is enabled by environment."""

    key: str
    is_enabled: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared. Modules of the engine that no policy of the control plane explains are not in it."""

    expected: int
    missing: int
    """Enabled policies that the engine does not hold."""
    withdrawn: int
    """Policies that are not enabled and that the engine holds all the same."""
    modules: int
    """Modules of the engine, all of them."""

    @property
    def is_equal(self) -> bool:
        """Whether the engine holds every enabled policy and none that is not."""
        return not self.missing and not self.withdrawn


def compare(
    policies: Iterable[Policy], module_ids: Iterable[str], environment: str, pattern: re.Pattern[str]
) -> Parity:
    """Compares one environment's policies with an engine's modules.

    `pattern` finds the policy's key in a module's id, in its first group; both are compared without case and
    punctuation, because module ids are paths that were made from names.
    """
    ids = list(module_ids)
    held = {normalise(match.group(1)) for each in ids if (match := pattern.search(each)) is not None}
    states: dict[str, bool] = {}
    for policy in policies:
        key = normalise(policy.key)
        states[key] = states.get(key, False) or policy.is_enabled.get(environment, False)
    enabled = {key for key, is_enabled in states.items() if is_enabled}
    withdrawn = {key for key, is_enabled in states.items() if not is_enabled}
    return Parity(len(enabled), len(enabled - held), len(withdrawn & held), len(ids))


def normalise(key: str) -> str:
    """The key in lower case with each run of other characters as one hyphen."""
    return NOT_WORD.sub("-", key.lower()).strip("-")
