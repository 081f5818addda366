"""What a decision needs besides the remediation itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.clock import Clock
from remediations.core.model.alert import Target
from remediations.core.model.facts import Fact, ProcessStart
from remediations.core.policies.policy import Policy, PolicySet
from remediations.facts.sources import FactSources
from remediations.journal.port import Journal
from remediations.metrics import Telemetry

Records = Sequence[tuple[str, Mapping[str, Any]]]


UNKNOWN_START: Fact[ProcessStart] = Fact(None, "journal", "not asked")


Prove = Callable[[Policy, PolicySet, Target], Coroutine[Any, Any, Fact[bool]]]
"""Whether the API server limits what a policy in auto may change on a target (`SelfTest.prove_limits`)."""


async def prove_nothing(_policy: Policy, _policy_set: PolicySet, _target: Target) -> Fact[bool]:
    """A self-test that has not run."""
    return Fact(None, "self-test", "not asked")


@dataclass(frozen=True, slots=True)
class EngineContext:
    """Dependencies of the engine's decisions."""

    journal: Journal
    policies: Callable[[], PolicySet]
    """The policy file in force (it may be read again while the program runs)."""
    sources: FactSources
    telemetry: Telemetry
    clock: Clock
    start: Fact[ProcessStart] = UNKNOWN_START
    """The start of this process; without it every action is held as a cold start."""
    prove: Prove = prove_nothing
    """Runs before a policy in auto acts; without it every such policy is held."""
