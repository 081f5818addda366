"""X7, X9, X19: who replicates from a real server, in which state, and what is left when one of them is gone."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager, contextmanager

import pytest

from chassis.errors import PermanentError, Reason
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession
from exporter.collectors.postgres.postgres_maintenance import PostgresMaintenanceCollector, PostgresMaintenanceSettings
from exporter.collectors.postgres.postgres_server import PostgresServerCollector, PostgresServerSettings
from tests.fakes.sources import make_sources, samples, value
from tests.integration.exporter.standby import Standby
from tools.install.packages import locate
from tools.servers.postgres import PASSWORD, SUPERUSER, PostgresServer
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(120)

LAG, REPLICAS = "controlcore_postgres_replication_lag_seconds", "controlcore_postgres_replicas"
LINK, DENIED = "controlcore_postgres_primary_link_up", "controlcore_postgres_view_denied"
RETAINED, LOST = (
    "controlcore_postgres_replication_slot_retained_bytes",
    "controlcore_postgres_replication_slot_lost",
)
DEAD, BYTES = "controlcore_postgres_dead_rows", "controlcore_postgres_table_bytes"
ARCHIVED = "controlcore_postgres_wal_archived_total"
SETTINGS = {"wal_level": "logical", "full_page_writes": "on", "min_wal_size": "32MB", "max_wal_size": "32MB"}


@pytest.fixture(scope="module")
def primary():
    with PostgresServer(settings=SETTINGS) as server:
        yield server


@asynccontextmanager
async def reading(server, kind=PostgresMaintenanceCollector, settings=PostgresMaintenanceSettings):
    """A function that collects over one kept session."""
    session = PostgresSession(PostgresAddress.parse(server.dsn()))
    try:
        async with kind.open(settings(), make_sources(postgres=session)) as collector:
            yield collector.collect
    finally:
        await session.close()


async def wait_for(collect, holds):
    """The families of the first collection of which it holds."""
    async with asyncio.timeout(scaled(20)):
        while True:
            result = await collect()
            assert result.failure is None, result.failure
            if holds(result.families):
                return result.families
            await asyncio.sleep(0.05)


def walsenders(server, condition):
    return int(server.run_sql(f"SELECT count(*) FROM pg_stat_replication WHERE {condition}")[0][0])  # noqa: S608 - ours


async def wait_for_walsender(server, condition):
    async with asyncio.timeout(scaled(20)):
        while True:
            if walsenders(server, condition):
                return
            await asyncio.sleep(0.05)


@contextmanager
def client(server, program, *arguments):
    """A program of PostgreSQL that speaks the replication protocol."""
    address = f"host={server.host} port={server.port} user={SUPERUSER} password={PASSWORD} dbname=postgres"
    command = [str(locate("postgres").parent / program), "--dbname", address, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_client_that_only_receives_wal_is_no_replica(primary, tmp_path):
    """X7: pg_receivewal replays nothing: it counted as a replica whose lag grew without end."""
    with client(primary, "pg_receivewal", "--directory", str(tmp_path)):
        await wait_for_walsender(primary, "state = 'streaming'")
        async with reading(primary) as collect:
            families = (await collect()).families
    assert (value(families, REPLICAS), value(families, LAG)) == (0, None)


async def test_running_base_backup_is_no_replica(primary, tmp_path):
    """X7: it has two connections, one for the files and one for the WAL."""
    arguments = ("--pgdata", str(tmp_path / "copy"), "--max-rate", "32", "--wal-method", "stream")
    with client(primary, "pg_basebackup", "--checkpoint=fast", *arguments):
        await wait_for_walsender(primary, "state = 'backup'")
        await wait_for_walsender(primary, "state = 'streaming'")
        async with reading(primary) as collect:
            families = (await collect()).families
    assert (value(families, REPLICAS), value(families, LAG)) == (0, None)


async def test_client_of_a_logical_slot_is_no_replica(primary, tmp_path):
    primary.run_sql("SELECT pg_create_logical_replication_slot('rows', 'test_decoding')")
    try:
        arguments = ("--slot", "rows", "--start", "--file", str(tmp_path / "rows"), "--status-interval", "1")
        with client(primary, "pg_recvlogical", *arguments):
            await wait_for_walsender(primary, "state = 'streaming'")
            async with reading(primary) as collect:
                families = (await collect()).families
    finally:
        primary.run_sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        await wait_until_free(primary, "rows")
        primary.run_sql("SELECT pg_drop_replication_slot('rows')")
    assert (value(families, REPLICAS), value(families, LAG)) == (0, None)


async def wait_until_free(server, slot):
    async with asyncio.timeout(scaled(20)):
        while True:
            if server.run_sql(f"SELECT 1 FROM pg_replication_slots WHERE active AND slot_name = '{slot}'") == []:  # noqa: S608 - ours
                return
            await asyncio.sleep(0.05)


async def test_replica_that_is_cut_off_says_that_its_lag_is_unknown(primary):
    """X7: it has replayed everything that it received, and said 0."""
    with Standby(primary, "cut") as replica:
        async with reading(replica) as collect, reading(primary) as collect_primary:
            families = await wait_for(collect, lambda each: value(each, LAG) is not None)
            assert value(families, LINK) == 1
            assert value(families, REPLICAS) == 0
            assert DEAD not in samples(families), "the primary's estimates are not here"
            families = await wait_for(collect_primary, lambda each: value(each, REPLICAS) == 1)
            await wait_for(collect_primary, lambda each: value(each, LAG) is not None)
            replica.run_sql("ALTER SYSTEM SET primary_conninfo = ''; SELECT pg_reload_conf()")
            families = await wait_for(collect, lambda each: value(each, LINK) == 0)
            assert LAG not in samples(families)
            families = await wait_for(collect_primary, lambda each: value(each, REPLICAS) == 0)
            assert LAG not in samples(families), "a replica that is gone has no lag of 0"


async def test_primary_that_falls_silent_leaves_the_replica_without_a_lag(primary):
    """X7: the connection is open, but no data comes."""
    with Standby(primary, "silent") as replica:
        replica.run_sql("ALTER SYSTEM SET wal_receiver_timeout = '3s'; SELECT pg_reload_conf()")
        async with reading(replica) as collect:
            await wait_for(collect, lambda each: value(each, LAG) is not None)
            primary.freeze()
            try:
                families = await wait_for(collect, lambda each: value(each, LINK) == 0)
            finally:
                primary.thaw()
            assert LAG not in samples(families)
            await wait_for(collect, lambda each: value(each, LAG) is not None)


async def test_replica_of_a_replica_is_counted(primary):
    with Standby(primary, "middle") as middle, Standby(middle, "end"):
        async with reading(middle) as collect:
            families = await wait_for(collect, lambda each: value(each, REPLICAS) == 1)
        assert value(families, LINK) == 1


async def test_replica_does_not_archive():
    """Its zeros are defaults: with archive_mode=on the archiver runs on the primary only."""
    with PostgresServer(settings={"archive_mode": "on", "archive_command": "true"}) as server:
        with Standby(server, "quiet") as replica:
            async with reading(replica) as collect:
                assert ARCHIVED not in samples((await collect()).families)
        async with reading(server) as collect:
            assert ARCHIVED in samples((await collect()).families)


async def test_slot_that_is_lost_says_so_and_keeps_nothing(primary):
    """X19: its retained bytes vanished at the moment in which the replica was lost for good."""
    primary.run_sql("SELECT pg_create_physical_replication_slot('left', true)")
    primary.run_sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf()")
    try:
        async with reading(primary, PostgresServerCollector, PostgresServerSettings) as collect:
            families = (await collect()).families
            assert value(families, LOST, "left") == 0
            for _ in range(4):
                primary.run_sql(
                    "CREATE TABLE grows (t text);"
                    " INSERT INTO grows SELECT repeat('x', 500) FROM generate_series(1, 20000);"
                    " DROP TABLE grows; SELECT pg_switch_wal(); CHECKPOINT"
                )
            families = (await collect()).families
        status = primary.run_sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'left'")
        assert status == [["lost"]]
        assert (value(families, RETAINED, "left"), value(families, LOST, "left")) == (0, 1)
    finally:
        primary.run_sql("SELECT pg_drop_replication_slot('left')")
        primary.run_sql("ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf()")


async def test_wrong_password_denies_no_view(primary):
    """X9: it was a success with seven views denied."""
    session = PostgresSession(PostgresAddress.parse(primary.dsn(password="wrong")))
    try:
        sources = make_sources(postgres=session)
        async with PostgresMaintenanceCollector.open(PostgresMaintenanceSettings(), sources) as collector:
            with pytest.raises(PermanentError) as caught:
                await collector.collect()
    finally:
        await session.close()
    assert (caught.value.reason, caught.value.code) == (Reason.AUTH, "")


@pytest.mark.parametrize(
    ("sql", "code", "reason"),
    [
        ("SELECT * FROM nowhere", "42P01", Reason.MISSING),
        ("SELECT nothing_like_it()", "42883", Reason.MISSING),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "40001", Reason.CONFLICT),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", "40P01", Reason.CONFLICT),
        ("DO $$ BEGIN RAISE SQLSTATE '0A000'; END $$", "0A000", Reason.MISSING),
    ],
)
async def test_refused_query_carries_the_servers_code(primary, sql, code, reason):
    session = PostgresSession(PostgresAddress.parse(primary.dsn()))
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the type is looked at below
            await session.fetch(sql, timeout_seconds=scaled(5))
    finally:
        await session.close()
    assert (caught.value.code, caught.value.reason) == (code, reason)
