"""Idle sessions are ended on a real PostgreSQL: those and no others, by a role that can do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis.clock import SystemClock
from chassis.errors import BackendError, PermanentError, Reason
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from remediations.commands import grants
from remediations.core.action import ActionInput
from remediations.core.decide import ACTIONS
from remediations.core.model.alert import Target
from remediations.core.model.decision import GuardOutcome
from remediations.core.model.facts import Need
from remediations.core.model.plan import Plan, SendResult
from remediations.execution.executor import Executor, Tools
from remediations.facts.kubernetes.action_facts import read_needs
from tests.fakes.decisions import facts
from tests.fakes.facts import sources_of
from tests.fakes.progress import ProgressInMemory

DATABASE = Target("control-core", "Database", "postgresql")


@dataclass
class Bench:
    url: str
    role: str
    session: PostgresSession
    stack: AsyncExitStack

    async def connect(self, user: str = "control_plane") -> asyncpg.Connection:
        connection = await asyncpg.connect(with_user(self.url, user))
        self.stack.callback(connection.terminate)
        return connection

    async def idle(self, number: int) -> list[asyncpg.Connection]:
        """So many sessions that have begun a transaction and do nothing."""
        found = [await self.connect() for _ in range(number)]
        for connection in found:
            await connection.execute("BEGIN")
            await connection.execute("SELECT 1")
        return found

    async def plan(self) -> Plan | GuardOutcome:
        sights = await read_needs(sources_of(None, self.session), frozenset({Need.IDLE_SESSIONS}), DATABASE, 0.0, 60.0)
        spec = ACTIONS["terminate_idle_sessions"]
        return spec.plan(ActionInput(DATABASE, {"idle_seconds": 60, "most": 5}, facts(sights=sights), "op-1"))

    async def carry_out(self, plan: Plan) -> SendResult:
        executor = Executor(None, SystemClock(), 3.0, Tools(sql=self.session))
        return (await executor.write(plan, SystemClock().now() + 10.0, ProgressInMemory(step_seconds=10.0))).result


def with_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:pw@{place}").geturl()


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    role = f"remediator_{database.rpartition('test_')[2][:10]}"
    owner = await asyncpg.connect(database)
    await owner.execute(
        "DO $$ BEGIN CREATE ROLE control_plane LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    # The shipped least of 60 s is too long for a test: the same text with a tenth of a second.
    await owner.execute(grants.render(role, "control_plane").replace("greatest(least_seconds, 60)", "0.1"))
    await owner.execute(f"ALTER ROLE control_plane PASSWORD 'pw'; ALTER ROLE \"{role}\" PASSWORD 'pw'")
    session = PostgresSession(PostgresAddress.parse(with_user(database, role)))
    await session.fetch("SELECT 1", timeout_seconds=5.0)
    try:
        async with AsyncExitStack() as stack:
            yield Bench(database, role, session, stack)
    finally:
        await session.close()
        await owner.execute(f'DROP SCHEMA controlcore_remediator CASCADE; DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await owner.close()


async def is_alive(connection: asyncpg.Connection) -> bool:
    try:
        await connection.fetchval("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        return False
    return True


async def test_five_of_seven_idle_sessions_end_and_the_innocent_stay(bench: Bench):
    guilty = await bench.idle(7)
    active, outside, other = await bench.connect(), await bench.connect(), await asyncpg.connect(bench.url)
    bench.stack.callback(other.terminate)
    await other.execute("BEGIN")
    await other.execute("SELECT pg_advisory_lock(7)")
    async with asyncio.TaskGroup() as group:
        # It works until the lock is given back.
        busy = group.create_task(active.fetchval("SELECT count(pg_advisory_lock(7))"))
        await asyncio.sleep(0.3)
        plan = await bench.plan()
        assert isinstance(plan, Plan)
        assert "end 5 of 7 sessions" in plan.summary
        assert await bench.carry_out(plan) is SendResult.DONE
        assert not busy.done()
        await other.execute("SELECT pg_advisory_unlock(7)")
    assert busy.result() == 1
    assert [await is_alive(connection) for connection in guilty] == [False] * 5 + [True] * 2
    assert (await is_alive(outside), await is_alive(other)) == (True, True)


async def test_no_idle_session_needs_no_plan(bench: Bench):
    await bench.connect()
    made = await bench.plan()
    assert isinstance(made, GuardOutcome)
    assert made.is_settled


async def test_kept_connection_works_when_no_new_one_is_to_be_had(bench: Bench, postgres_server):
    owner = await asyncpg.connect(bench.url)
    bench.stack.callback(owner.terminate)
    await owner.execute("ALTER ROLE control_plane CONNECTION LIMIT 3")
    try:
        await bench.idle(3)
        with pytest.raises(asyncpg.PostgresError):
            await bench.connect()
        await asyncio.sleep(0.3)
        plan = await bench.plan()
        assert isinstance(plan, Plan)
        assert await bench.carry_out(plan) is SendResult.DONE
        assert await is_alive(await bench.connect())
    finally:
        await owner.execute("ALTER ROLE control_plane CONNECTION LIMIT -1")


async def test_role_may_do_nothing_else(bench: Bench):
    (row,) = await bench.session.fetch("SELECT pg_backend_pid() AS pid", timeout_seconds=3.0)
    victim = await bench.connect()
    pid = await victim.fetchval("SELECT pg_backend_pid()")
    assert pid != row["pid"]
    with pytest.raises(BackendError) as caught:
        await bench.session.fetch("SELECT pg_terminate_backend($1)", pid, timeout_seconds=3.0)
    assert caught.value.reason is Reason.PERMISSION
    with pytest.raises(PermanentError):
        await bench.session.fetch("CREATE TABLE stolen (x int)", timeout_seconds=3.0)


@pytest.mark.parametrize("name", ["", "a b", 'x"; DROP ROLE y', "a" * 64])
def test_name_that_could_leave_its_quotes_is_refused(name):
    with pytest.raises(ValueError, match="role name"):
        grants.render("remediator", name)
    with pytest.raises(ValueError, match="role name"):
        grants.render(name, "product")


def test_shipped_text_never_ends_a_session_younger_than_a_minute():
    assert "greatest(least_seconds, 60)" in grants.render("remediator", "controlcore")
    assert "least(most, 5)" in grants.render("remediator", "controlcore")
