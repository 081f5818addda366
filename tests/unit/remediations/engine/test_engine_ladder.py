"""A rung that has been proven to have failed is followed by the next one at once."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from remediations.core.model.alert import Target
from remediations.core.model.remediation import State
from remediations.core.policies.policy import Rung, Witness, WitnessKind
from remediations.engine.engine import Engine
from tests.fakes.decisions import API, restart_policy
from tests.fakes.engine import World, a_world
from tests.fakes.kubernetes import DEPLOYMENT

OTHER = Target(API.namespace, "Deployment", "bouncer")
OTHER_DEPLOYMENT = DEPLOYMENT.replace(API.name, OTHER.name)
WITNESSES = (Witness("health", WitnessKind.HTTP, "http://api/health"),)


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


def a_second_deployment(world: World) -> None:
    """The cluster has another Deployment of the same kind of trouble."""
    other = copy.deepcopy(world.cluster.objects[DEPLOYMENT])
    other["metadata"] |= {"name": OTHER.name, "uid": "uid-9"}
    world.cluster.objects[OTHER_DEPLOYMENT] = other


async def fail_once(world: World) -> Engine:
    """The first rung has been proven to have failed."""
    world.prometheus.answers |= {"controlcore_api_up == bool 0": True, "controlcore_api_up == bool 1": False}
    await world.deliver()
    engine = world.engine()
    for _ in range(60):
        while await engine.turn("worker"):
            pass
        if State.FAILED in {item.state for item in await world.journal.listing()}:
            return engine
        await world.clock.advance(3.0)
        world.cluster.roll_out(DEPLOYMENT)
    raise AssertionError("the first rung never failed")


async def test_rung_with_its_own_target_acts_there(tmp_path: Path):
    policy = restart_policy(
        verify_timeout_seconds=60.0, witnesses=WITNESSES, ladder=(Rung("restart_workload", targets=(OTHER,)),)
    )
    async with a_world(tmp_path, policy) as world:
        a_second_deployment(world)
        await fail_once(world)
        newest, first = await world.journal.listing()
    assert (first.target, first.state) == (API, State.FAILED)
    assert (newest.target, newest.state) == (OTHER, State.VERIFYING)
    assert world.cluster.objects[OTHER_DEPLOYMENT]["metadata"]["generation"] == 4


@pytest.mark.parametrize(
    ("rungs", "expected"), [(1, {"escalated": 1, "failed": 0}), (0, {"escalated": 0, "failed": 1})]
)
async def test_failure_counts_as_such_only_when_no_rung_is_left(tmp_path: Path, rungs: int, expected: dict[str, int]):
    """ControlCoreRemediationFailing calls a person at `failed`, and after half an hour at `escalated`."""
    ladder = (Rung("restart_workload", targets=(OTHER,)),) * rungs
    policy = restart_policy(verify_timeout_seconds=60.0, witnesses=WITNESSES, ladder=ladder)
    async with a_world(tmp_path, policy) as world:
        a_second_deployment(world)
        await fail_once(world)
        labels = {"remediation": policy.name, "action": "restart_workload"}
        found = {name: world.count("remediation_actions_total", **labels, outcome=name) for name in expected}
    assert found == expected


async def test_alert_that_comes_again_waits_for_the_rung_that_is_due(tmp_path: Path):
    """The alert points at the first rung's object; what is due is the other's, and only once."""
    policy = restart_policy(
        verify_timeout_seconds=60.0, witnesses=WITNESSES, ladder=(Rung("restart_workload", targets=(OTHER,)),)
    )
    async with a_world(tmp_path, policy) as world:
        a_second_deployment(world)
        engine = await fail_once(world)
        await world.deliver()
        for _ in range(3):
            while await engine.turn("worker"):
                pass
            await world.clock.advance(15.0)
        again, rung, _ = await world.journal.listing()
        assert (again.target, again.state, again.reason) == (API, State.HELD, "other_rung")
        assert (rung.target, rung.state) == (OTHER, State.VERIFYING)
    assert world.cluster.objects[DEPLOYMENT]["metadata"]["generation"] == 4


async def test_rung_that_was_never_begun_is_begun_by_the_next_alert(tmp_path: Path):
    """The process died between the failure and the next rung's beginning."""
    policy = restart_policy(
        verify_timeout_seconds=60.0, witnesses=WITNESSES, ladder=(Rung("restart_workload", targets=(OTHER,)),)
    )
    async with a_world(tmp_path, policy) as world:
        world.policy_set = replace(world.policy_set, policies=(replace(policy, ladder=()),))
        a_second_deployment(world)
        engine = await fail_once(world)
        world.policy_set = replace(world.policy_set, policies=(policy,))
        await world.deliver()
        while await engine.turn("worker"):
            pass
        found = await world.journal.listing()
    assert {(item.target, item.state) for item in found} == {
        (API, State.FAILED), (API, State.HELD), (OTHER, State.VERIFYING)
    }  # fmt: skip
