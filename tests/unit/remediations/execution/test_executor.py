from __future__ import annotations

from typing import Any

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from remediations.core.action import ActionInput
from remediations.core.decide import ACTIONS
from remediations.core.model.errors import FenceLostError
from remediations.core.model.facts import Facts
from remediations.core.model.names import ANNOTATION_OPERATION
from remediations.core.model.plan import Plan, SendResult
from remediations.execution.executor import Executor
from tests.fakes.clock import ManualClock
from tests.fakes.decisions import API, a_workload, facts
from tests.fakes.kubernetes import DEPLOYMENT, FakeCluster, a_cluster

TIMEOUT = 3.0


def restart_plan(operation_id: str = "op-1", **workload: Any) -> Plan:
    known: Facts = facts()
    if workload:
        known = facts(workload=type(known.workload)(a_workload(**workload), ""))
    plan = ACTIONS["restart_workload"].plan(ActionInput(API, {}, known, operation_id))
    assert isinstance(plan, Plan)
    return plan


@pytest.fixture
def cluster() -> FakeCluster:
    return a_cluster()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def executor(cluster: FakeCluster, clock: ManualClock) -> Executor:
    return Executor(cluster, clock, TIMEOUT)


def raising(error: Exception, verbs: tuple[str, ...] = ("patch",)) -> Any:
    def hook(verb: str, _path: str) -> None:
        if verb in verbs:
            raise error

    return hook


async def test_write_leaves_the_operation_id_in_object_and_template(executor, cluster, clock):
    sent = await executor.write(restart_plan(), clock.now() + 10)

    assert (sent.result, sent.generation) == (SendResult.DONE, 4)
    stored = cluster.objects[DEPLOYMENT]
    assert stored["metadata"]["annotations"][ANNOTATION_OPERATION] == "op-1"
    assert stored["spec"]["template"]["metadata"]["annotations"][ANNOTATION_OPERATION] == "op-1"


async def test_second_write_of_the_same_plan_has_no_second_effect(executor, cluster, clock):
    await executor.write(restart_plan(), clock.now() + 10)

    sent = await executor.write(restart_plan(), clock.now() + 10)

    assert sent.result is SendResult.ALREADY_DONE
    assert cluster.objects[DEPLOYMENT]["metadata"]["generation"] == 4
    assert len(cluster.stored) == 1


async def test_object_that_changed_is_not_written(executor, cluster, clock):
    cluster.touch(DEPLOYMENT)

    sent = await executor.write(restart_plan(), clock.now() + 10)

    assert sent.result is SendResult.CHANGED
    assert cluster.stored == []


async def test_object_of_the_same_name_but_another_uid_is_not_written(executor, cluster, clock):
    cluster.objects[DEPLOYMENT]["metadata"]["uid"] = "uid-of-another-cluster"

    sent = await executor.write(restart_plan(), clock.now() + 10)

    assert sent.result is SendResult.CHANGED
    assert cluster.stored == []


async def test_dry_run_stores_nothing(executor, cluster):
    sent = await executor.dry_run(restart_plan())

    assert sent.result is SendResult.DONE
    assert (len(cluster.dry_runs), cluster.stored) == (1, [])


async def test_dry_run_that_is_refused_says_why(executor, cluster):
    cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403: no"))

    sent = await executor.dry_run(restart_plan())

    assert (sent.result, sent.detail) == (SendResult.REFUSED, "permission: HTTP status 403: no")


async def test_refused_write_is_looked_at_before_it_is_believed(executor, cluster, clock):
    cluster.before = raising(PermanentError(Reason.PERMISSION, "HTTP status 403"))

    assert (await executor.write(restart_plan(), clock.now() + 10)).result is SendResult.REFUSED
    assert [verb for verb, _ in cluster.calls] == ["patch", "get"]


async def test_write_that_is_forbidden_and_may_not_be_looked_at_was_refused(executor, cluster, clock):
    def forbid(_verb: str, _path: str) -> None:
        raise PermanentError(Reason.PERMISSION, "HTTP status 403")

    cluster.before = forbid
    assert (await executor.write(restart_plan(), clock.now() + 10)).result is SendResult.REFUSED
    assert [verb for verb, _ in cluster.calls] == ["patch", "get"]


async def test_answer_that_cannot_be_read_does_not_hide_a_write_that_arrived(executor, cluster, clock):
    cluster.after = raising(PermanentError(Reason.MALFORMED, "the API's answer is not JSON"))

    assert (await executor.write(restart_plan(), clock.now() + 10)).result is SendResult.ALREADY_DONE


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.CLOSED, Reason.HTTP_5XX, Reason.OVERLOADED])
async def test_no_answer_is_unknown(executor, cluster, clock, reason):
    cluster.before = raising(TransientError(reason, "?"))

    assert (await executor.write(restart_plan(), clock.now() + 10)).result is SendResult.UNKNOWN


async def test_conflict_that_cannot_be_looked_up_is_unknown(executor, cluster, clock):
    cluster.touch(DEPLOYMENT)
    cluster.before = raising(TransientError(Reason.TIMEOUT, "?"), ("get",))

    assert (await executor.write(restart_plan(), clock.now() + 10)).result is SendResult.UNKNOWN


@pytest.mark.parametrize("left", [TIMEOUT - 0.1, 0.0, -5.0])
async def test_lease_that_could_end_during_the_write_forbids_it(executor, cluster, clock, left):
    with pytest.raises(FenceLostError):
        await executor.write(restart_plan(), clock.now() + left)

    assert cluster.calls == []


async def test_looking_finds_an_earlier_write(executor, clock):
    await executor.write(restart_plan(), clock.now() + 10)

    assert (await executor.check_outcome(restart_plan())).result is SendResult.ALREADY_DONE


async def test_looking_finds_that_nothing_was_written(executor):
    assert (await executor.check_outcome(restart_plan())).result is SendResult.CHANGED


async def test_write_of_another_operation_is_not_taken_for_ours(executor, clock):
    await executor.write(restart_plan("op-0"), clock.now() + 10)

    assert (await executor.check_outcome(restart_plan("op-1"))).result is SendResult.CHANGED


async def test_looking_at_an_object_that_is_gone_finds_nothing_written(executor, cluster):
    del cluster.objects[DEPLOYMENT]

    assert (await executor.check_outcome(restart_plan())).result is SendResult.CHANGED


@pytest.mark.parametrize("error", [TransientError(Reason.TIMEOUT, "?"), PermanentError(Reason.PERMISSION, "403")])
async def test_looking_without_an_answer_is_unknown(executor, cluster, error):
    cluster.before = raising(error, ("get",))

    assert (await executor.check_outcome(restart_plan())).result is SendResult.UNKNOWN
