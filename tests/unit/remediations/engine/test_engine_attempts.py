"""R3: every attempt counts, and no path tries more often than the policy says, whatever a write is answered."""

from __future__ import annotations

import itertools
from itertools import pairwise

import pytest

from chassis.errors import BackendError, ConflictError, PermanentError, Reason, TransientError
from remediations.core.model.remediation import State
from remediations.core.policies.limits import BreakerLimit
from tests.fakes.decisions import restart_policy
from tests.fakes.engine import World, a_world, raising
from tests.fakes.kubernetes import DEPLOYMENT

RETRY_SECONDS = 15.0
POLICY = restart_policy(verify_timeout_seconds=60.0, retry_seconds=RETRY_SECONDS, expires_seconds=600.0)
LOST = {
    "http-500": TransientError(Reason.HTTP_5XX, "HTTP status 500: failed calling webhook"),
    "http-503": TransientError(Reason.HTTP_5XX, "HTTP status 503"),
    "overloaded": TransientError(Reason.OVERLOADED, "HTTP status 429"),
    "time-out": TransientError(Reason.TIMEOUT, "no answer"),
    "reset": TransientError(Reason.CLOSED, "reset"),
    "refused-connection": TransientError(Reason.REFUSED, "connection refused"),
}
REFUSED = {
    "forbidden": PermanentError(Reason.PERMISSION, "HTTP status 403"),
    "invalid": PermanentError(Reason.MALFORMED, "HTTP status 422"),
    "policy-cannot-judge": PermanentError(Reason.INTERNAL, "HTTP status 422: expression resulted in error"),
}
FAULT = AttributeError("'str' object has no attribute 'get'")
"""An answer that nothing here was written for."""
PATCHES = {"dry-run": 1, "write": 2}
"""The PATCH of an attempt that gets the answer: the first is the dry run, the second the write."""
CHARGED = [
    *(pytest.param(error, 1, id=f"{name}-dry-run") for name, error in LOST.items()),
    *(pytest.param(error, 2, id=f"{name}-write") for name, error in (LOST | REFUSED).items()),
    *(pytest.param(FAULT, patch, id=f"fault-{name}") for name, patch in PATCHES.items()),
]
"""The answers that count as an attempt. A write whose dry run the server refuses was never sent."""


pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
async def world(tmp_path):
    async with a_world(tmp_path, POLICY) as made:
        yield made


def refuse(world: World, error: Exception, patch: int = 1) -> list[float]:
    """The nth PATCH of every attempt gets this answer; returns when each was sent."""
    sent: list[float] = []
    numbers = itertools.count(1)

    def hook(verb: str, _path: str) -> None:
        if verb == "patch" and next(numbers) % patch == 0:
            sent.append(world.clock.now())
            raise error

    world.cluster.before = hook
    return sent


async def run(world: World, seconds: float, step_seconds: float = 1.0) -> None:
    """The engine works while this much time passes. A step of a second shows a retry that comes early."""
    engine = world.engine()
    for _ in range(int(seconds / step_seconds)):
        while await engine.turn("worker"):
            pass
        await world.clock.advance(step_seconds)


@pytest.mark.parametrize(("error", "patch"), CHARGED)
async def test_write_is_tried_as_often_as_the_policy_says(world: World, error: Exception, patch: int):
    await world.deliver()
    sent = refuse(world, error, patch)

    await run(world, 120)

    assert len(sent) == POLICY.budget_actions
    assert all(later - earlier >= RETRY_SECONDS for earlier, later in pairwise(sent))
    remediation = await world.newest()
    assert (remediation.state, remediation.reason) == (State.HELD, "budget_spent")
    assert remediation.attempts == POLICY.budget_actions


@pytest.mark.parametrize(("error", "patch"), CHARGED)
async def test_attempts_without_a_proper_answer_count_for_the_next_remediation(
    world: World, error: Exception, patch: int
):
    """The first one expires; the alert comes again, and the policy's hour is not over."""
    world.set_policy(cooldown_seconds=0.0)
    await world.deliver()
    sent = refuse(world, error, patch)
    await run(world, 620, RETRY_SECONDS)
    assert (await world.newest()).state is State.EXPIRED

    await world.deliver()
    await run(world, 120, RETRY_SECONDS)

    assert len(sent) == POLICY.budget_actions
    assert (await world.newest()).reason == "budget_spent"


async def test_cooldown_follows_an_attempt_without_a_proper_answer(world: World):
    world.set_policy(budget_actions=1, budget_seconds=60.0)
    await world.deliver()
    refuse(world, LOST["http-500"])
    await run(world, 620, RETRY_SECONDS)

    await world.deliver()
    await run(world, 2)

    assert (await world.newest()).reason == "cooldown"


@pytest.mark.parametrize(("error", "patch"), CHARGED)
async def test_attempts_without_a_proper_answer_open_the_breaker(world: World, error: Exception, patch: int):
    world.set_policy(budget_actions=100)
    await world.deliver()
    sent = refuse(world, error, patch)

    await run(world, 300, RETRY_SECONDS)

    assert len(sent) == BreakerLimit().failures
    assert (await world.newest()).reason == "breaker_open"


async def test_metrics_tell_of_attempts_without_a_proper_answer(world: World):
    await world.deliver()
    refuse(world, LOST["http-500"])
    labels = {"remediation": "restart-api", "action": "restart_workload"}

    await run(world, 620, RETRY_SECONDS)

    assert (await world.newest()).state is State.EXPIRED
    assert world.count("remediation_actions_total", **labels, outcome="lost") == POLICY.budget_actions
    assert world.count("remediation_actions_total", **labels, outcome="unverified") == 1


@pytest.mark.parametrize("error", REFUSED.values(), ids=REFUSED)
async def test_refused_dry_run_waits_for_the_retry_and_is_no_attempt(world: World, error: BackendError):
    """R3: the write never left, so nothing is charged; the alert counts the refusals."""
    await world.deliver()
    sent = refuse(world, error)

    await run(world, 120)

    remediation = await world.newest()
    assert (remediation.state, remediation.reason, remediation.attempts) == (State.HELD, "write_refused", 0)
    assert len(sent) > max(POLICY.budget_actions, BreakerLimit().failures)
    assert all(later - earlier >= RETRY_SECONDS for earlier, later in pairwise(sent))
    assert await world.journal.actions_since(0.1) == []
    labels = {"remediation": "restart-api", "action": "restart_workload"}
    assert world.count("remediation_actions_total", **labels, outcome="refused") == len(sent)

    await world.work(world.revive())
    remediation = await world.newest()
    assert (remediation.state, remediation.attempts) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
async def test_object_that_changes_again_and_again_waits_for_the_retry_and_is_repaired(world: World, patch: int):
    """R3: after a 409 the decision is repeated once at once.

    Nothing was stored, so a changing status uses up no budget.
    """
    await world.deliver()
    sent = refuse(world, ConflictError("HTTP status 409"), patch)
    labels = {"remediation": POLICY.name, "action": POLICY.action}

    await run(world, 120)

    remediation = await world.newest()
    assert (remediation.state, remediation.reason, remediation.attempts) == (State.HELD, "object_changed", 0)
    assert len(sent) > 2 * max(POLICY.budget_actions, BreakerLimit().failures)
    assert world.count("remediation_actions_total", **labels, outcome="changed") == len(sent)
    assert all(later - earlier >= RETRY_SECONDS for earlier, later in pairwise(sent[::2]))
    assert await world.journal.actions_since(0.1) == []

    await world.work(world.revive())
    remediation = await world.newest()
    assert (remediation.state, remediation.attempts) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize("error", [LOST["time-out"], FAULT], ids=["time-out", "fault"])
async def test_write_whose_fate_stays_unknown_is_looked_up_with_growing_pauses(world: World, error: Exception):
    """R3: the server does not answer, or unreadably: readings are not writes, but are limited too."""
    await world.deliver()
    sent = refuse(world, error)
    engine = world.engine()
    await engine.turn("worker")
    world.cluster.before = raising(error, "get", "list", "patch")

    for _ in range(700):
        while await engine.turn("worker"):
            pass
        await world.clock.advance(1.0)

    remediation = await world.newest()
    assert (remediation.state, remediation.attempts, len(sent)) == (State.UNVERIFIED, 1, 1)
    assert len(await world.records("write")) < 70


async def test_process_that_died_before_it_knew_an_answer_counts_once(world: World):
    """The object shows the write: one attempt, whichever process finds it."""
    await world.deliver()
    world.cluster.after = raising(LOST["time-out"], "patch")
    engine = world.engine()
    await engine.turn("worker")
    world.cluster.after = lambda _verb, _path: None

    await world.work(engine)

    remediation = await world.newest()
    assert (remediation.state, remediation.attempts) == (State.SUCCEEDED, 1)
    assert [path for verb, path in world.cluster.calls if verb == "patch"] == [DEPLOYMENT] * 2, "a dry run and a write"
