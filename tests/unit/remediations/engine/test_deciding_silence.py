"""A silence that was set while facts were gathered stops the write."""

from __future__ import annotations

import pytest

from chassis.errors import Reason, TransientError
from remediations.core.model.alert import Alert
from remediations.core.model.reasons import HoldReason
from remediations.core.model.remediation import State
from remediations.engine.deciding import MUTES_SECONDS
from tests.fakes.engine import World, a_world


class Muting:
    """An Alertmanager that mutes nothing at the first query, and later answers something else; None: it is gone."""

    url = "http://alertmanager"

    def __init__(self, later: str | None) -> None:
        self._later = later
        self.asked = 0

    async def mutes(self, _alert: Alert) -> tuple[str, ...]:
        self.asked += 1
        if self.asked == 1:
            return ()
        if self._later is None:
            raise TransientError(Reason.TIMEOUT, "no answer")
        return (self._later,)


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("later", "reason"),
    [("silence 1 by sam: deploy", HoldReason.SILENCED), (None, HoldReason.SILENCE_UNKNOWN)],
)
async def test_silence_set_while_facts_come_slowly_holds(world: World, later: str | None, reason: HoldReason):
    world.alertmanager = Muting(later)
    world.cluster.after = lambda _verb, _path: world.clock.pass_by(MUTES_SECONDS)
    await world.deliver()

    await world.engine().turn("worker")

    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.HELD, reason.value)
    assert world.generation == 3
    assert not await world.records("intent")


async def test_facts_that_come_at_once_cost_no_second_question(world: World):
    world.alertmanager = Muting("silence 1 by sam: deploy")
    await world.deliver()

    await world.engine().turn("worker")

    assert (world.alertmanager.asked, world.generation) == (1, 4)
