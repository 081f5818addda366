"""The engine's acts are announced, even if the process dies in between, and the engine never waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest

from remediations.core.model.errors import JournalError
from remediations.core.model.remediation import State
from remediations.notifications import dispatcher as dispatcher_module
from remediations.notifications.alerts import AnnouncementForm, announce
from remediations.notifications.dispatcher import Dispatcher
from remediations.notifications.kubernetes_events import notes
from remediations.notifications.timeline import MilestoneKind, Timeline
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import NOW, a_policy_set, a_remediation
from tests.fakes.engine import LEASE_SECONDS, Fuse, Killed, World, a_world

POSTGRES = "controlcore_postgres_up == bool 1"


class Listener:
    """Records its notifications."""

    def __init__(self) -> None:
        self.heard: list[Timeline] = []
        self._news = asyncio.Event()

    def enqueue(self, told: Timeline) -> None:
        self.heard.append(told)
        self._news.set()

    async def until(self, is_reached: Callable[[Timeline], bool]) -> Timeline:
        """The newest notification, once it has arrived."""
        while not self.heard or not is_reached(self.heard[-1]):
            self._news.clear()
            await self._news.wait()
        return self.heard[-1]


class Hurried(ManualClock):
    """Stands still, and nothing can sleep."""

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)


def a_dispatcher(world: World, listener: Listener, journal=None) -> Dispatcher:
    clock = Hurried(world.clock.now())
    dispatcher = Dispatcher(journal or world.journal, lambda: world.policy_set, clock, [listener])
    world.notify = dispatcher.notify
    return dispatcher


def reasons(told: Timeline) -> list[str]:
    return [moment.reason for moment in told.moments]


@asynccontextmanager
async def running(dispatcher: Dispatcher):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(dispatcher.run())
        yield
        task.cancel()


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path) as made:
        yield made


async def test_repair_is_told_from_plan_to_proof(world: World):
    listener = Listener()
    async with running(a_dispatcher(world, listener)):
        await world.deliver()
        await world.work(world.engine())
        told = await listener.until(lambda told: told.is_closed)
    assert reasons(told) == ["guards_passed", "written", "succeeded"]
    assert told.uid == "uid-1"


@pytest.mark.timeout(60)
async def test_process_that_dies_at_any_point_leaves_nothing_untold(tmp_path_factory):
    """The next process announces the dead one's acts, under the same names, whether or not they were announced."""
    told_by_all: set[tuple[str, ...]] = set()
    for number in range(1, 60):
        async with a_world(tmp_path_factory.mktemp("died")) as world:
            await world.deliver()
            try:
                await world.work(world.engine(Fuse(number)))
            except (Killed, BaseExceptionGroup):
                await world.clock.advance(LEASE_SECONDS + 0.1)
            else:
                break
            listener = Listener()
            async with running(a_dispatcher(world, listener)):
                await world.work(world.revive())
                told = await listener.until(lambda told: told.is_closed)
            assert [moment.kind for moment in told.moments][-2:] == [MilestoneKind.ACTED, MilestoneKind.VERIFIED], (
                number
            )
            assert announce(told, AnnouncementForm({}, 600.0))[0].starts_at >= NOW
            told_by_all.add(tuple(note.name.rsplit(".", 1)[1] for note in notes(told, "pod-1")))
    assert number > 30
    assert all(len(set(names)) == len(names) for names in told_by_all)


async def test_what_a_dead_process_had_decided_is_told_after_the_start(world: World):
    world.prometheus.answers[POSTGRES] = False
    await world.deliver()
    await world.engine().turn("worker")
    listener = Listener()
    async with running(a_dispatcher(world, listener)):
        told = await listener.until(lambda told: bool(told.moments))
    assert reasons(told) == ["dependency_down"]


async def test_what_closed_a_moment_ago_is_told_after_a_start_and_not_for_ever(world: World):
    await world.deliver()
    await world.work(world.engine())
    listener = Listener()
    async with running(a_dispatcher(world, listener)):
        told = await listener.until(lambda told: told.is_closed)
    assert reasons(told)[-1] == "succeeded"
    await world.clock.advance(dispatcher_module.LOOK_BACK_SECONDS + 1)
    late = a_dispatcher(world, listener)
    await late._catch_up()
    assert (late._urgent, late._waiting) == ({}, {})


async def test_hold_that_is_looked_at_again_is_told_once(world: World):
    world.prometheus.answers[POSTGRES] = False
    listener = Listener()
    async with running(a_dispatcher(world, listener)):
        await world.deliver()
        engine = world.engine()
        await engine.turn("worker")
        await listener.until(lambda told: bool(told.moments))
        told_times = len(listener.heard)
        for _ in range(3):
            await world.clock.advance(20)
            assert await engine.turn("worker")
        world.prometheus.answers[POSTGRES] = None
        await world.clock.advance(20)
        await engine.turn("worker")
        told = await listener.until(lambda told: len(told.moments) > 1)
    assert reasons(told) == ["dependency_down", "dependency_unknown"]
    assert len(listener.heard) == told_times + 1


async def test_journal_that_fails_delays_and_loses_nothing(world: World):
    class Failing:
        failures = 2

        async def listing(self, **_options):
            return []

        async def story(self, name):
            self.failures -= 1
            if self.failures >= 0:
                raise JournalError("locked")
            return await world.journal.story(name)

    listener = Listener()
    async with running(a_dispatcher(world, listener, Failing())):
        await world.deliver()
        await world.work(world.engine())
        await listener.until(lambda told: told.remediation.state is State.SUCCEEDED)


async def test_write_is_told_before_the_holds_of_a_storm():
    class Stories:
        async def listing(self, **_options):
            return []

        async def story(self, name):
            return a_remediation(id=name), ()

    listener = Listener()
    dispatcher = Dispatcher(Stories(), a_policy_set, Hurried(NOW), [listener])
    for number in range(3):
        dispatcher.notify(a_remediation(id=f"held-{number}", state=State.HELD, reason="storm"))
    dispatcher.notify(a_remediation(id="written", state=State.VERIFYING, reason="written"))
    async with running(dispatcher):
        await listener.until(lambda told: told.remediation.id == "held-2")
    assert [told.remediation.id for told in listener.heard] == ["written", "held-0", "held-1", "held-2"]


def test_nobody_listening_costs_nothing():
    dispatcher = Dispatcher(None, None, None, [])
    dispatcher.notify(a_remediation())
    assert dispatcher._waiting == dispatcher._urgent == dispatcher._known == {}


def test_more_than_can_be_remembered_is_read_from_the_journal(monkeypatch):
    monkeypatch.setattr(dispatcher_module, "MAX_WAITING", 2)
    dispatcher = Dispatcher(None, None, None, [Listener()])
    dispatcher._is_behind = False
    for number in range(3):
        dispatcher.notify(a_remediation(id=str(number), state=State.HELD, reason="storm"))
    assert (len(dispatcher._waiting), dispatcher._is_behind) == (2, True)
