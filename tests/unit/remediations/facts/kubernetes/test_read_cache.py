"""One decision fetches nothing twice, and one that failed is told to everybody who asks."""

from __future__ import annotations

import asyncio

import pytest

from chassis.errors import BackendError, PermanentError, Reason
from remediations.facts.kubernetes.read_cache import CachingApi
from tests.fakes.kubernetes import DEPLOYMENT, PODS, FakeCluster, a_cluster


def get(once: CachingApi):
    return once.get(DEPLOYMENT, timeout_seconds=1.0)


async def test_object_that_several_ask_about_at_once_is_fetched_one_time():
    cluster = a_cluster()
    once = CachingApi(cluster)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(get(once)) for _ in range(3)]

    assert [task.result()["metadata"]["uid"] for task in tasks] == ["uid-1"] * 3
    assert cluster.calls == [("get", DEPLOYMENT)]


async def test_collections_with_other_selectors_are_other_questions():
    cluster = a_cluster()
    once = CachingApi(cluster)

    found = [
        await once.list(PODS, timeout_seconds=1.0, label_selector=selector)
        for selector in (None, "app=control-plane-api", "app=other", None)
    ]

    assert [len(items) for items in found] == [3, 3, 0, 3]
    assert len(cluster.calls) == 3


async def test_failure_is_told_again_without_asking_again():
    cluster = FakeCluster()
    once = CachingApi(cluster)

    for _ in range(2):
        with pytest.raises(BackendError, match="404"):
            await get(once)

    assert len(cluster.calls) == 1


async def test_asker_who_gives_up_leaves_the_question_to_the_next():
    """A deadline is one asker's own: it says nothing about the object."""
    cluster = a_cluster()
    gate = asyncio.Event()

    class Slow(FakeCluster):
        async def get(self, path, *, timeout_seconds):
            await gate.wait()
            return await cluster.get(path, timeout_seconds=timeout_seconds)

    once = CachingApi(Slow())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await get(once)
    gate.set()

    assert (await get(once))["metadata"]["uid"] == "uid-1"


def test_it_can_only_read():
    assert not {"patch", "create", "delete"} & set(dir(CachingApi(a_cluster())))


async def test_error_keeps_its_reason():
    cluster = a_cluster()

    def refuse(_verb, _path):
        raise PermanentError(Reason.PERMISSION, "no")

    cluster.before = refuse
    with pytest.raises(PermanentError) as caught:
        await get(CachingApi(cluster))
    assert caught.value.reason is Reason.PERMISSION
