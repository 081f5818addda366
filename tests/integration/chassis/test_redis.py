"""The Redis adapter against a real server: frozen, away, full, refusing, loading."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from chassis.errors import Reason, TransientError
from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession, probe
from tests.integration.chassis.deadlines import (
    DEADLINE_SECONDS,
    GENEROUS_SECONDS,
    assert_in_time,
    failure_of,
    frozen,
)
from tests.integration.chassis.sessions import reason_of_redis_probe, redis_session
from tools.servers.redis import RedisServer

PASSWORD = "right"


async def test_info_has_numbers_of_the_sections_asked_for(redis_url: str) -> None:
    async with redis_session(redis_url) as asked:
        everything = await asked.info(timeout_seconds=GENEROUS_SECONDS)
        some = await asked.info("memory", "stats", timeout_seconds=GENEROUS_SECONDS)
    assert isinstance(everything["used_memory"], int)
    assert isinstance(everything["redis_version"], str)
    assert {"used_memory", "evicted_keys"} <= set(some)
    assert "redis_version" not in some


async def test_connection_is_kept(redis_url: str) -> None:
    async with redis_session(redis_url) as asked:
        first = await asked.info("stats", timeout_seconds=GENEROUS_SECONDS)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asked.info("stats", timeout_seconds=GENEROUS_SECONDS)) for _ in range(8)]
    received = {int(task.result()["total_connections_received"]) for task in tasks}
    assert received == {int(first["total_connections_received"])}


async def test_frozen_server_costs_the_deadline_and_works_after_thaw(redis_url: str, redis_server: RedisServer) -> None:
    address = RedisAddress.parse(redis_url)
    async with redis_session(redis_url) as asked:
        await asked.info(timeout_seconds=GENEROUS_SECONDS)
        with frozen(redis_server):
            await assert_in_time(lambda: asked.info(timeout_seconds=DEADLINE_SECONDS))
            await assert_in_time(lambda: probe(address, DEADLINE_SECONDS))
        assert "redis_version" in await asked.info(timeout_seconds=GENEROUS_SECONDS)
        assert 0 < await probe(address, GENEROUS_SECONDS) < GENEROUS_SECONDS


async def test_late_answer_is_never_read_by_the_next_caller(redis_url: str, redis_server: RedisServer) -> None:
    """A call given up during the freeze is answered at the thaw; its answer must go nowhere."""
    async with redis_session(redis_url) as asked:
        await asked.info("server", timeout_seconds=GENEROUS_SECONDS)
        with frozen(redis_server):
            await failure_of(asked.info("server", timeout_seconds=0.1))
        assert "redis_version" not in await asked.info("memory", timeout_seconds=GENEROUS_SECONDS)


async def test_close_with_a_frozen_server_returns(redis_url: str, redis_server: RedisServer) -> None:
    asked = RedisSession(RedisAddress.parse(redis_url))
    await asked.info(timeout_seconds=GENEROUS_SECONDS)
    with frozen(redis_server):
        started = time.monotonic()
        await asked.close()
        assert time.monotonic() - started < GENEROUS_SECONDS / 2
    with pytest.raises(TransientError) as caught:
        await asked.info(timeout_seconds=GENEROUS_SECONDS)
    assert caught.value.reason is Reason.CLOSED


async def test_close_ends_a_running_command(redis_url: str, redis_server: RedisServer) -> None:
    asked = RedisSession(RedisAddress.parse(redis_url))
    await asked.info(timeout_seconds=GENEROUS_SECONDS)
    with frozen(redis_server):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS)))
            await asyncio.sleep(0.05)
            await asked.close()
        assert running.result().reason is Reason.CLOSED


async def test_close_while_connecting_leaves_nothing_open(redis_url: str, redis_server: RedisServer) -> None:
    asked = RedisSession(RedisAddress.parse(redis_url))
    async with asyncio.TaskGroup() as group:
        with frozen(redis_server):
            running = group.create_task(failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS)))
            await asyncio.sleep(0.05)
            await asked.close()
    assert running.result().reason is Reason.CLOSED


async def test_cancelled_call_leaves_a_session_that_works(redis_url: str, redis_server: RedisServer) -> None:
    async with redis_session(redis_url) as asked:
        await asked.info(timeout_seconds=GENEROUS_SECONDS)
        with frozen(redis_server):
            task = asyncio.create_task(asked.info(timeout_seconds=GENEROUS_SECONDS))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert "redis_version" in await asked.info(timeout_seconds=GENEROUS_SECONDS)


@pytest.mark.timeout(30)
async def test_server_that_went_and_came_back_is_used_again() -> None:
    with RedisServer() as server:
        async with redis_session(server.url) as asked:
            await asked.info(timeout_seconds=GENEROUS_SECONDS)
            await asyncio.to_thread(server.stop)
            error = await failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS))
            assert (type(error), error.reason) == (TransientError, Reason.REFUSED)
            assert await reason_of_redis_probe(server.url) == (TransientError, Reason.REFUSED)
            await asyncio.to_thread(server.start)
            assert "redis_version" in await asked.info(timeout_seconds=GENEROUS_SECONDS)


async def test_config_is_read_and_an_unknown_name_is_unknown(redis_url: str) -> None:
    async with redis_session(redis_url) as asked:
        assert await asked.config_get("maxmemory", timeout_seconds=GENEROUS_SECONDS) == "0"
        assert await asked.config_get("no-such-parameter", timeout_seconds=GENEROUS_SECONDS) is None


async def test_config_of_a_frozen_server_is_a_failure_not_unknown(redis_url: str, redis_server: RedisServer) -> None:
    async with redis_session(redis_url) as asked:
        with frozen(redis_server):
            error = await failure_of(asked.config_get("maxmemory", timeout_seconds=0.2))
    assert error.reason is Reason.TIMEOUT


async def test_client_name_is_shown_when_given(redis_url: str, redis_server: RedisServer) -> None:
    address = dataclasses.replace(RedisAddress.parse(redis_url), client_name="tester")
    asked = RedisSession(address)
    try:
        await asked.info("server", timeout_seconds=GENEROUS_SECONDS)
        assert redis_server.call("CLIENT", "KILL", "TYPE", "normal") != ":0"
    finally:
        await asked.close()
