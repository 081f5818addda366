"""A rung that has been proven to have failed is followed by the next one at once."""

from __future__ import annotations

from pathlib import Path

from remediations.policy_model import Rung
from remediations.states import State
from tests.fakes.decisions import restart_policy
from tests.fakes.engine import a_world


async def test_failed_action_is_followed_by_the_next_rung_without_waiting_for_the_alert(tmp_path: Path):
    policy = restart_policy(
        verify_timeout_seconds=60.0, ladder=(Rung("scale_workload", {"max_replicas_cap": 14, "step": 2}),)
    )
    async with a_world(tmp_path, policy) as world:
        world.prometheus.answers = {
            **world.prometheus.answers,
            "controlcore_api_up == bool 0": True,
            "controlcore_api_up == bool 1": False,
        }
        await world.deliver()
        engine = world.engine()
        for _ in range(60):
            while await engine.turn("worker"):
                pass
            if len(await world.journal.listing()) > 1:
                break
            await world.clock.advance(3.0)
            world.cluster.roll_out("/apis/apps/v1/namespaces/control-core/deployments/control-plane-api")
        newest, first = await world.journal.listing()
    assert first.state is State.FAILED
    assert newest.alert == first.alert
    assert newest.state is not State.FAILED
