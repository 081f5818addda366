"""Compares the policies that a policy engine holds with those that it should hold. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.collectors.labels import ENVIRONMENTS

NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """One policy of the control plane, and whether it is enabled in each environment."""

    id: str
    name: str
    is_enabled: dict[str, bool]
    resource: str | None = None
    """Name of the protected resource that it is for; None when that is unknown."""

    def is_for(self, resources: Collection[str]) -> bool:
        """Whether a bouncer with these resources needs it. A bouncer with unknown (no) resources needs every policy."""
        return not resources or self.resource is None or self.resource in resources


@dataclass(frozen=True, slots=True)
class Naming:
    """How modules are named after policies: `pattern` finds the key in a module's id, in its first group."""

    key: Literal["id", "name"]
    pattern: re.Pattern[str]
    is_telling: bool
    """Whether a module whose id matches is certainly a policy. A pattern that matches any file name proves nothing."""

    def keys_in(self, module_ids: Iterable[str]) -> set[str]:
        """The keys in the ids that match."""
        return {normalise(match.group(1)) for each in module_ids if (match := self.pattern.search(each)) is not None}

    def key_of(self, policy: EnginePolicy) -> str:
        """The policy's key."""
        return normalise(policy.id if self.key == "id" else policy.name)


BY_ID = Naming("id", re.compile(r"(?:^|/)policy_([0-9]+)(?:\.rego)?$"), is_telling=True)
"""How the product names files in its repository: policies/RESOURCE/ENVIRONMENT/enabled/policy_ID.rego."""
BY_NAME = Naming("name", re.compile(r"([^/]+?)(?:\.rego)?$"), is_telling=False)
"""The file name of files written by hand."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared."""

    expected: int
    """Policies enabled in the environment that the bouncer needs."""
    modules: int
    """Modules of the engine that may be policies."""
    missing: int | None = None
    """Expected policies that the engine does not hold; None (unknown) when no naming fits."""
    withdrawn: int | None = None
    """Policies that were deleted or are not enabled, but that the engine still holds; None as above."""

    @property
    def is_equal(self) -> bool | None:
        """Whether the engine holds every enabled policy and no other; None when unknown."""
        if self.missing is None or self.withdrawn is None:
            return None
        return not self.missing and not self.withdrawn


def choose(
    policies: Sequence[EnginePolicy], module_ids: Sequence[str], namings: Sequence[Naming], last: Naming | None
) -> Naming | None:
    """The naming that explains the most modules by policies, the first of equals.

    If none explains any: the one that fitted before (`last`), then one whose pattern is conclusive and matches a
    module. None when nothing fits: comparing would report every policy as missing, or no fault at all.
    """
    held = {naming: naming.keys_in(module_ids) for naming in namings}
    explained = {naming: len(held[naming] & {naming.key_of(each) for each in policies}) for naming in namings}
    best = max(namings, key=explained.__getitem__)
    if explained[best]:
        return best
    return last or next((naming for naming in namings if naming.is_telling and held[naming]), None)


def compare(
    policies: Sequence[EnginePolicy],
    module_ids: Sequence[str],
    environment: str,
    naming: Naming | None,
    *,
    resources: Collection[str] = (),
    is_complete: bool = True,
) -> Parity:
    """Compares one environment's policies with an engine's modules.

    An engine without modules holds no policy. Keys are compared without case and punctuation, because module ids are
    paths made from names. A module that no policy explains (a library) is ignored, unless its id is conclusive: then it
    is a deleted policy, because the 2025.10 product deletes the row and leaves the file. `is_complete` is False when a
    policy's row could not be read: then none counts as deleted. A policy for a resource that the bouncer does not
    protect (`resources`) may be present or absent: the product configures each bouncer for its own resource, but an
    OPAL client without that filter loads all policies. A module in the folder of another environment is ignored: an
    engine that loads the whole repository of the product has policies/RESOURCE/sandbox/… beside
    policies/RESOURCE/production/….
    """
    known: set[str] = set()
    enabled: set[str] = set()
    expected: set[str] = set()
    for policy in policies:
        key = (naming or BY_ID).key_of(policy)
        known.add(key)
        if policy.is_enabled.get(environment, False):
            enabled.add(key)
            if policy.is_for(resources):
                expected.add(key)
    if naming is None and module_ids:
        return Parity(len(expected), len(module_ids))
    held = (naming or BY_ID).keys_in(each for each in module_ids if _may_be_of(each, environment))
    withdrawn = held - enabled
    if not is_complete or naming is None or not naming.is_telling:
        withdrawn &= known
    return Parity(len(expected), len(module_ids), len(expected - held), len(withdrawn))


def _may_be_of(module_id: str, environment: str) -> bool:
    """Whether no folder in the module's path belongs to another environment alone."""
    named = {folder.casefold() for folder in module_id.split("/")[:-1]} & set(ENVIRONMENTS)
    return not named or environment in named


def normalise(key: str) -> str:
    """The key in lower case with each run of other characters as one hyphen."""
    return NOT_WORD.sub("-", key.casefold()).strip("-")
