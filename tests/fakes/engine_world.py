"""The world of the engine's state machine: targets, policies, a journal that stalls, an OPAL client."""

from __future__ import annotations

import asyncio
from typing import Any

from chassis.http.call import Call, Response
from remediations.core.model.alert import Target
from remediations.core.model.reasons import HoldReason
from remediations.core.policies.policy import Policy
from remediations.journal.port import Journal
from tests.fakes.decisions import API, restart_policy
from tests.fakes.engine import LEASE_SECONDS, Killed, World
from tests.fakes.prometheus import FakeWeb

OPAL = Target("control-core", "OpalClient", "opal-client")
TARGETS = {"restart-api": API, "restart-too": API, "update-policies": OPAL}
"""Two policies for one target: at most one of them may be at work on it. The third one's writes leave no mark."""
POLICIES = tuple(TARGETS)
UPDATE = "http://opal-client:7000"
UNLIMITED: dict[str, Any] = {
    "cooldown_seconds": 0.0,
    "budget_actions": 10_000,
    "human_quiet_seconds": 0.0,
    "change_quiet_seconds": 0.0,
    "retry_seconds": 1.0,
    "verify_timeout_seconds": 30.0,
    "expires_seconds": 300.0,
}

REASONS = {reason.value for reason in HoldReason} | {"guards_passed", "condition_gone"}
MOST_POINTS = 40
LONGEST_SECONDS = 400
"""Of trying, at the end: longer than any remediation here may stay open."""


class StallingJournal:
    """A journal whose nth call hangs until the gate opens: a process that was stopped there, or a slow disk."""

    def __init__(self, journal: Journal, number: int) -> None:
        self._journal = journal
        self._left = number
        self.stalled = asyncio.Event()
        self.gate = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._journal, name)

        async def stalling(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.stalled.set()
                await self.gate.wait()
            return await call(*arguments, **named)

        return stalling


def calling_policy() -> Policy:
    """Makes an OPAL client load again: two calls, whose arrival cannot be proven later."""
    changes = {"action": "trigger_policy_update", "targets": (OPAL,), "parameters": {"url": UPDATE, "with_data": True}}
    return restart_policy(name="update-policies", **{**UNLIMITED, **changes, "witnesses": (), "connections": None})


class Opal(FakeWeb):
    """The OPAL client. Its caller may die before the nth call from now has reached it, or before its answer came."""

    dies_at: int | None = None
    is_reached: bool = True

    async def send(self, call: Call) -> Response:
        self.dies_at = None if self.dies_at is None else self.dies_at - 1
        if self.dies_at != 0:
            return await super().send(call)
        if self.is_reached:
            await super().send(call)
        raise Killed("calling")


async def stall(world: World, point: int, *, is_followed: bool) -> None:
    """A worker stops at its nth call for longer than its lease; asserts that it writes nothing afterwards."""
    journal = world.journal
    stalling = StallingJournal(journal, point)
    world.journal = stalling  # type: ignore[assignment]
    old = world.engine()
    world.journal = journal
    async with asyncio.TaskGroup() as group:
        turn = group.create_task(old.turn("stale"))
        stalled = group.create_task(stalling.stalled.wait())
        await asyncio.wait((turn, stalled), return_when=asyncio.FIRST_COMPLETED)
        stalled.cancel()
        await world.clock.advance(LEASE_SECONDS + 1)
        if is_followed:
            await world.engine().turn("successor")
        before = len(world.cluster.stored)
        stalling.gate.set()
        await turn
    assert len(world.cluster.stored) == before, "a worker that had lost its lease wrote"
