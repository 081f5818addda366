"""One decision fetches nothing twice, and a failed read fails for every caller."""

from __future__ import annotations

import asyncio

import pytest

from chassis.errors import BackendError, PermanentError, Reason
from remediations.facts.kubernetes.reader import ClusterReader
from tests.fakes.kubernetes import DEPLOYMENT, PODS, FakeCluster, a_cluster


def once_on(cluster: FakeCluster) -> ClusterReader:
    """The reader of one decision."""
    return ClusterReader(cluster, 1.0).for_decision()


async def test_object_that_several_ask_about_at_once_is_fetched_one_time():
    cluster = a_cluster()
    once = once_on(cluster)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(once.get(DEPLOYMENT)) for _ in range(3)]

    assert [task.result()["metadata"]["uid"] for task in tasks] == ["uid-1"] * 3
    assert cluster.calls == [("get", DEPLOYMENT)]


async def test_collections_with_other_selectors_are_other_questions():
    cluster = a_cluster()
    once = once_on(cluster)

    found = [await once.list(PODS, labels=selector) for selector in (None, "app=control-plane-api", "app=other", None)]

    assert [len(items) for items in found] == [3, 3, 0, 3]
    assert len(cluster.calls) == 3


async def test_failure_is_told_again_without_asking_again():
    cluster = FakeCluster()
    once = once_on(cluster)

    for _ in range(2):
        with pytest.raises(BackendError, match="404"):
            await once.get(DEPLOYMENT)

    assert len(cluster.calls) == 1


async def test_asker_who_gives_up_leaves_the_question_to_the_next():
    """A deadline is one asker's own: it says nothing about the object."""
    cluster = a_cluster()
    gate = asyncio.Event()

    class Slow(FakeCluster):
        async def get(self, path, *, timeout_seconds):
            await gate.wait()
            return await cluster.get(path, timeout_seconds=timeout_seconds)

    once = once_on(Slow())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await once.get(DEPLOYMENT)
    gate.set()

    assert (await once.get(DEPLOYMENT))["metadata"]["uid"] == "uid-1"


async def test_next_decision_and_a_verification_ask_again():
    cluster = a_cluster()
    reader = ClusterReader(cluster, 1.0)

    for each in (reader, reader, reader.for_decision(), reader.for_decision()):
        await each.get(DEPLOYMENT)

    assert len(cluster.calls) == 4


async def test_log_is_read_anew_each_time():
    cluster = a_cluster()
    once = once_on(cluster)

    for _ in range(2):
        await once.text(f"{PODS}/api/log", {"previous": "true"})

    assert len(cluster.calls) == 2


def test_it_can_only_read():
    assert not {"patch", "create", "delete"} & set(dir(ClusterReader(a_cluster(), 1.0)))


async def test_error_keeps_its_reason():
    cluster = a_cluster()

    def refuse(_verb, _path):
        raise PermanentError(Reason.PERMISSION, "no")

    cluster.before = refuse
    with pytest.raises(PermanentError) as caught:
        await once_on(cluster).get(DEPLOYMENT)
    assert caught.value.reason is Reason.PERMISSION
