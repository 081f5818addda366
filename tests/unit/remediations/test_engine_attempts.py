"""R3: every attempt counts, and no path tries more often than the policy says, whatever a write is answered."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chassis.errors import BackendError, ConflictError, PermanentError, Reason, TransientError
from remediations.limits import BreakerLimit
from remediations.states import State
from tests.fakes.decisions import restart_policy
from tests.fakes.engine import World, a_world
from tests.fakes.kubernetes import DEPLOYMENT

RETRY_SECONDS = 15.0
POLICY = restart_policy(verify_timeout_seconds=60.0, retry_seconds=RETRY_SECONDS, expires_seconds=600.0)
ANSWERS = {
    "http-500": TransientError(Reason.HTTP_5XX, "HTTP status 500: failed calling webhook"),
    "http-503": TransientError(Reason.HTTP_5XX, "HTTP status 503"),
    "overloaded": TransientError(Reason.OVERLOADED, "HTTP status 429"),
    "time-out": TransientError(Reason.TIMEOUT, "no answer"),
    "reset": TransientError(Reason.CLOSED, "reset"),
    "refused-connection": TransientError(Reason.REFUSED, "connection refused"),
    "forbidden": PermanentError(Reason.PERMISSION, "HTTP status 403"),
    "invalid": PermanentError(Reason.MALFORMED, "HTTP status 422"),
    "policy-cannot-judge": PermanentError(Reason.INTERNAL, "HTTP status 422: expression resulted in error"),
}


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path, POLICY) as made:
        yield made


def refuse(world: World, error: BackendError) -> list[float]:
    """Every PATCH is answered so; when each was sent."""
    sent: list[float] = []

    def hook(verb: str, _path: str) -> None:
        if verb == "patch":
            sent.append(world.clock.now())
            raise error

    world.cluster.before = hook
    return sent


async def run(world: World, seconds: float) -> None:
    """The engine works while so much time passes."""
    engine = world.engine()
    for _ in range(int(seconds)):
        while await engine.turn("worker"):
            pass
        await world.clock.advance(1.0)


@pytest.mark.parametrize("error", ANSWERS.values(), ids=ANSWERS)
async def test_write_is_tried_as_often_as_the_policy_says(world: World, error: BackendError):
    await world.deliver()
    sent = refuse(world, error)

    await run(world, 120)

    assert len(sent) == POLICY.budget_actions
    assert all(later - earlier >= RETRY_SECONDS for earlier, later in pairwise(sent))
    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.HELD, "budget_spent")
    assert remediation.attempts == POLICY.budget_actions


@pytest.mark.parametrize("error", ANSWERS.values(), ids=ANSWERS)
async def test_attempts_without_a_proper_answer_count_for_the_next_remediation(world: World, error: BackendError):
    """The first one expires; the alert comes again, and the policy's hour is not over."""
    world.set_policy(cooldown_seconds=0.0)
    await world.deliver()
    sent = refuse(world, error)
    await run(world, 620)
    assert (await world.newest()).state is State.EXPIRED

    await world.deliver()
    await run(world, 120)

    assert len(sent) == POLICY.budget_actions
    assert (await world.newest()).reason == "budget_spent"


async def test_cooldown_follows_an_attempt_without_a_proper_answer(world: World):
    world.set_policy(budget_actions=1, budget_seconds=60.0)
    await world.deliver()
    refuse(world, ANSWERS["http-500"])
    await run(world, 620)

    await world.deliver()
    await run(world, 2)

    assert (await world.newest()).reason == "cooldown"


@pytest.mark.parametrize("error", ANSWERS.values(), ids=ANSWERS)
async def test_attempts_without_a_proper_answer_open_the_breaker(world: World, error: BackendError):
    world.set_policy(budget_actions=100)
    await world.deliver()
    sent = refuse(world, error)

    await run(world, 300)

    assert len(sent) == BreakerLimit().failures
    assert (await world.newest()).reason == "breaker_open"


async def test_metrics_tell_of_attempts_without_a_proper_answer(world: World):
    await world.deliver()
    refuse(world, ANSWERS["http-500"])
    labels = {"remediation": "restart-api", "action": "restart_workload"}

    await run(world, 620)

    assert (await world.newest()).state is State.EXPIRED
    assert world.count("remediation_actions_total", **labels, outcome="lost") == POLICY.budget_actions
    assert world.count("remediation_actions_total", **labels, outcome="unverified") == 1


async def test_object_that_changes_again_and_again_is_tried_with_the_policys_pause(world: World):
    """A conflict is decided anew once at once; a second one in a row is an attempt."""
    await world.deliver()
    sent = refuse(world, ConflictError("HTTP status 409"))

    await run(world, 120)

    assert len(sent) == 2 * POLICY.budget_actions
    assert sent[2] - sent[1] >= RETRY_SECONDS
    assert (await world.newest()).reason == "budget_spent"


async def test_write_whose_fate_stays_unknown_is_looked_up_with_growing_pauses(world: World):
    """The server does not answer at all: looks are no writes, but they are bounded too."""
    await world.deliver()
    sent = refuse(world, ANSWERS["time-out"])
    engine = world.engine()
    await engine.turn("worker")
    world.cluster.before = _raise_everywhere

    for _ in range(700):
        while await engine.turn("worker"):
            pass
        await world.clock.advance(1.0)

    remediation = await world.newest()
    assert (remediation.state, remediation.attempts, len(sent)) == (State.UNVERIFIED, 1, 1)
    assert len(await world.records("write")) < 70


def _raise_everywhere(_verb: str, _path: str) -> Any:
    raise ANSWERS["time-out"]


async def test_process_that_died_before_it_knew_an_answer_counts_once(world: World):
    """The object shows the write: one attempt, whoever finds it."""
    await world.deliver()
    world.cluster.after = lambda verb, _path: _raise_everywhere("", "") if verb == "patch" else None
    engine = world.engine()
    await engine.turn("worker")
    world.cluster.after = lambda _verb, _path: None

    await world.work(engine)

    remediation = await world.newest()
    assert (remediation.state, remediation.attempts) == (State.SUCCEEDED, 1)
    assert [path for verb, path in world.cluster.calls if verb == "patch"] == [DEPLOYMENT] * 2, "a dry run and a write"
