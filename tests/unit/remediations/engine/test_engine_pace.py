"""How fast the engine gets to a write, and that it says where the time went."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from remediations.core.model.facts import Pause
from remediations.core.model.remediation import State
from remediations.engine.engine import Engine
from remediations.settings import WorkerSettings
from tests.fakes.decisions import NOW, SAM
from tests.fakes.engine import World, a_world


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path) as made:
        yield made


async def test_each_story_says_where_the_time_went(world: World):
    await world.deliver()

    await world.engine().turn("worker")

    (decided,), (written,) = await world.records("decision"), await world.records("write")
    assert set(decided.data["seconds"]) == {"facts", "evidence"}
    assert written.data["seconds"] >= 0


async def hold_once(world: World) -> None:
    """A remediation that has been held: its evidence waits for a plan."""
    await world.deliver()
    await world.journal.pause(Pause("noon", "sam", "lunch", NOW + 1), NOW, SAM)
    await world.engine().turn("worker")
    assert (await world.newest()).state is State.HELD
    await world.clock.advance(60.0)


async def test_plan_without_evidence_is_not_sent_but_decided_anew(world: World):
    """The reason for the hold at the time of gathering evidence had ended at the decision."""
    await hold_once(world)
    journal, asked = world.journal, []

    class Forgetful:
        """Knows of a write on the target at the first question only."""

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        async def recollect(self, *arguments: Any) -> Any:
            asked.append(arguments)
            known = await journal.recollect(*arguments)
            return replace(known, pauses=[Pause("night", "sam", "freeze", None)]) if len(asked) == 1 else known

    world.journal = Forgetful()  # type: ignore[assignment]
    await world.engine().turn("worker")

    assert (world.generation, (await world.newest()).state) == (4, State.VERIFYING)
    kinds = [record.kind for record in await world.records("resumed", "decision", "evidence", "intent", "write")]
    assert kinds == ["decision", "resumed", "decision", "evidence", "intent", "write"]


async def test_news_wake_one_idle_worker_alone(world: World):
    """Not all workers query a quiet journal at once; a worker that finds something wakes the next."""
    asked = asyncio.Semaphore(0)
    claims: list[str] = []

    class Quiet:
        async def claim(self, worker: str, *_arguments: Any) -> None:
            claims.append(worker)
            asked.release()

    parts = world.engine()._parts
    worker = WorkerSettings(idle_seconds=5.0)
    engine = Engine(replace(parts, worker=worker, desk=replace(parts.desk, journal=Quiet())))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run(stop))
        for _ in range(worker.concurrency):
            await asked.acquire()
        engine.wake()
        await asked.acquire()
        seen = len(claims)
        stop.set()
    assert seen == worker.concurrency + 1


async def test_worker_that_finds_something_wakes_the_next(world: World):
    await world.deliver()
    engine = world.engine()
    assert engine._news.locked()

    await engine.turn("worker")

    assert not engine._news.locked()
