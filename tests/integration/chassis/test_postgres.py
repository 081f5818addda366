"""The PostgreSQL adapter against a real server: frozen, away, full, refusing."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from chassis.errors import BackendError, Reason, TransientError
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession, probe
from tests.integration.chassis.deadlines import (
    DEADLINE_SECONDS,
    GENEROUS_SECONDS,
    SLACK_SECONDS,
    assert_in_time,
    failure_of,
    frozen,
)
from tests.integration.chassis.sessions import first_value, postgres_session
from tools.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def test_connection_is_kept_and_read_only_with_its_limits(database: str) -> None:
    address = dataclasses.replace(PostgresAddress.parse(database), application_name="tester")
    async with postgres_session(address) as asked:
        pid = await first_value(asked, "SELECT pg_backend_pid()")
        (row,) = await asked.fetch(
            "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
            " current_setting('idle_in_transaction_session_timeout'), current_setting('application_name'), $1::int",
            7,
            timeout_seconds=GENEROUS_SECONDS,
        )
        assert tuple(row) == ("5s", "1s", "5s", "tester", 7)
        write = await failure_of(asked.fetch("CREATE TABLE t ()", timeout_seconds=GENEROUS_SECONDS))
        assert write.reason is Reason.PERMISSION
        assert await first_value(asked, "SELECT pg_backend_pid()") == pid


async def test_concurrent_calls_share_one_connection(database: str) -> None:
    async with postgres_session(database) as asked, asyncio.TaskGroup() as group:
        tasks = [group.create_task(first_value(asked, "SELECT pg_backend_pid()")) for _ in range(8)]
    assert len({task.result() for task in tasks}) == 1


async def test_lost_connection_is_opened_again(database: str, postgres_server: PostgresServer) -> None:
    async with postgres_session(database) as asked:
        pid = await first_value(asked, "SELECT pg_backend_pid()")
        killer = asyncio.to_thread(postgres_server.run_sql, f"SELECT pg_terminate_backend({pid})")
        running = asked.fetch("SELECT pg_sleep(30)", timeout_seconds=GENEROUS_SECONDS)
        async with asyncio.TaskGroup() as group:
            failing = group.create_task(failure_of(running))
            group.create_task(killer)
        assert failing.result().reason is Reason.CLOSED
        assert await first_value(asked, "SELECT pg_backend_pid()") != pid


async def test_frozen_server_costs_the_deadline_and_works_after_thaw(
    database: str, postgres_server: PostgresServer
) -> None:
    """Freezes the postmaster and every backend: the kept connection hangs, and so does a new one."""
    address = PostgresAddress.parse(database)
    async with postgres_session(address) as asked:
        await first_value(asked, "SELECT 1")
        with frozen(postgres_server):
            await assert_in_time(lambda: asked.fetch("SELECT 1", timeout_seconds=DEADLINE_SECONDS))
            await assert_in_time(lambda: probe(address, DEADLINE_SECONDS))
        assert await first_value(asked, "SELECT 2") == 2
        assert 0 < await probe(address, GENEROUS_SECONDS) < GENEROUS_SECONDS


async def test_deadline_includes_waiting_for_the_connection(database: str, postgres_server: PostgresServer) -> None:
    async with postgres_session(database) as asked:
        with frozen(postgres_server):
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(failure_of(asked.fetch("SELECT 1", timeout_seconds=DEADLINE_SECONDS)))
            assert time.monotonic() - started < 2 * DEADLINE_SECONDS + SLACK_SECONDS


async def test_close_of_a_session_with_a_frozen_server_returns(database: str, postgres_server: PostgresServer) -> None:
    asked = PostgresSession(PostgresAddress.parse(database))
    await first_value(asked, "SELECT 1")
    with frozen(postgres_server):
        started = time.monotonic()
        await asked.close()
        assert time.monotonic() - started < GENEROUS_SECONDS / 2
    with pytest.raises(TransientError) as caught:
        await asked.fetch("SELECT 1", timeout_seconds=GENEROUS_SECONDS)
    assert caught.value.reason is Reason.CLOSED


async def test_close_ends_a_running_query(database: str, postgres_server: PostgresServer) -> None:
    asked = PostgresSession(PostgresAddress.parse(database))
    await first_value(asked, "SELECT 1")
    with frozen(postgres_server):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(failure_of(asked.fetch("SELECT 1", timeout_seconds=GENEROUS_SECONDS)))
            await asyncio.sleep(0.05)
            await asked.close()
        assert running.result().reason is Reason.CLOSED


async def test_close_while_connecting_leaves_nothing_open(database: str, postgres_server: PostgresServer) -> None:
    asked = PostgresSession(PostgresAddress.parse(database))
    async with asyncio.TaskGroup() as group:
        with frozen(postgres_server):
            running = group.create_task(_outcome(asked.fetch("SELECT 1", timeout_seconds=GENEROUS_SECONDS)))
            await asyncio.sleep(0.05)
            await asked.close()
    assert running.result() is Reason.CLOSED


async def _outcome(call: Awaitable[object]) -> Reason | None:
    try:
        await call
    except BackendError as error:
        return error.reason
    return None


async def test_slow_query_costs_the_deadline_and_the_next_one_works(database: str) -> None:
    async with postgres_session(database) as asked:
        await assert_in_time(lambda: asked.fetch("SELECT pg_sleep(30)", timeout_seconds=DEADLINE_SECONDS))
        assert await first_value(asked, "SELECT 1") == 1


async def test_query_is_ended_by_the_server_when_nobody_waits_any_more(database: str) -> None:
    address = dataclasses.replace(PostgresAddress.parse(database), statement_timeout_seconds=0.2)
    async with postgres_session(address) as asked:
        error = await failure_of(asked.fetch("SELECT pg_sleep(30)", timeout_seconds=GENEROUS_SECONDS))
    assert (error.reason, "57014" in str(error)) == (Reason.TIMEOUT, True)


async def test_cancelled_call_leaves_a_session_that_works(database: str) -> None:
    async with postgres_session(database) as asked:
        await first_value(asked, "SELECT 1")
        task = asyncio.create_task(first_value(asked, "SELECT pg_sleep(30)"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await first_value(asked, "SELECT 1") == 1


async def test_probe_leaves_no_connection_behind(database: str, postgres_server: PostgresServer) -> None:
    address = dataclasses.replace(PostgresAddress.parse(database), application_name=f"probe-{uuid.uuid4().hex}")
    await probe(address, GENEROUS_SECONDS)
    assert [address.application_name] not in postgres_server.run_sql("SELECT application_name FROM pg_stat_activity")
