from __future__ import annotations

import asyncio

import pytest

from exporter.collectors.policy_engine.turns import HOLD_SECONDS, Turns

pytestmark = pytest.mark.looptime


class Bouncer:
    """Records when a request was sent, and answers after the given seconds."""

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}

    async def answer(self, name: str, seconds: float) -> str:
        self.sent[name] = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        return name


async def ask(**seconds: float) -> tuple[dict[str, float], list[str]]:
    """When each request was sent, and the answers."""
    bouncer, turns = Bouncer(), Turns()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(turns.take(bouncer.answer, name, each)) for name, each in seconds.items()]
    return bouncer.sent, [task.result() for task in tasks]


async def test_request_is_sent_once_the_one_before_it_is_answered() -> None:
    assert await ask(health=0.1, allow=0.05, deny=0.01) == (
        {"health": 0.0, "allow": pytest.approx(0.1), "deny": pytest.approx(0.15)},
        ["health", "allow", "deny"],
    )


async def test_requests_that_hang_hold_up_the_others_for_a_quarter_of_a_second_in_all() -> None:
    """A round has a deadline, and a bouncer that hangs must not cost it what can still be learned."""
    sent, _ = await ask(health=2.0, allow=3.0, deny=3.0)
    assert sent == {"health": 0.0, "allow": pytest.approx(HOLD_SECONDS), "deny": pytest.approx(HOLD_SECONDS)}


async def test_request_that_fails_lets_the_next_one_go() -> None:
    async def fail() -> None:
        raise ValueError("boom")

    bouncer, turns = Bouncer(), Turns()
    with pytest.raises(ValueError, match="boom"):
        await turns.take(fail)
    assert await turns.take(bouncer.answer, "next", 0.0) == "next"
    assert bouncer.sent == {"next": 0.0}
