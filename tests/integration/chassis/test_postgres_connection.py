"""Ways to a database: through a pooler, by a name that moves, past libpq's environment, with rotated certificates."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from chassis.errors import BackendError, Reason
from chassis.postgres import connection
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import probe
from tests.fakes.moving_name import MovingName
from tests.integration.chassis.deadlines import GENEROUS_SECONDS, failure_of
from tests.integration.chassis.sessions import first_value, postgres_session
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair
from tools.servers.pgbouncer import PgBouncerServer
from tools.servers.postgres import ACCOUNT, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTED = "SELECT pg_postmaster_start_time()::text"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests learned of a port is not true of the server that gets it next."""
    monkeypatch.setattr(connection, "_pooled", set())
    monkeypatch.setattr(connection, "_plain", set())


@pytest.fixture(params=["session", "transaction"])
def pooler(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[PgBouncerServer]:
    with PgBouncerServer((postgres_server.host, postgres_server.port), request.param) as server:
        yield server


def name_of(database: str) -> str:
    return database.rpartition("/")[2]


async def test_database_behind_a_pooler_is_up_and_the_session_harmless(database: str, pooler: PgBouncerServer) -> None:
    """X3: PgBouncer refuses our startup parameters; the same limits hold in each query's own transaction."""
    address = PostgresAddress.parse(pooler.dsn(name_of(database)))
    assert await probe(address, GENEROUS_SECONDS) > 0
    async with postgres_session(address) as asked:
        limits = "SELECT current_setting('statement_timeout') || current_setting('lock_timeout') || $1::text"
        assert await first_value(asked, limits, "x") == "5s1sx"
        assert await first_value(asked, "SELECT current_setting('transaction_read_only')") == "on"
        write = await failure_of(asked.fetch("CREATE TABLE t ()", timeout_seconds=GENEROUS_SECONDS))
        assert write.reason is Reason.PERMISSION
        assert await first_value(asked, "SELECT current_setting('application_name')") == "controlcore-exporter"


async def test_nothing_of_ours_stays_on_a_connection_that_the_product_gets_next(
    database: str, pooler: PgBouncerServer
) -> None:
    """X3: read-only or a timeout of five seconds left behind would be an outage that we made."""
    import asyncpg  # noqa: PLC0415 - the product, which is another client of the pooler

    url = pooler.dsn(name_of(database))
    async with postgres_session(url) as asked:
        for sql in ("SELECT 1", "SELECT 1/0", "SELECT pg_sleep(0.01)"):
            with suppress(BackendError):
                await asked.fetch(sql, timeout_seconds=GENEROUS_SECONDS)
    product = await asyncpg.connect(url, statement_cache_size=0)
    try:
        await product.execute("CREATE TABLE written ()")
        rows = await product.fetch("SELECT name FROM pg_settings WHERE source = 'session' AND name LIKE '%timeout'")
    finally:
        await product.close()
    assert rows == []


async def test_many_queries_survive_changing_server_connections(database: str, pooler: PgBouncerServer) -> None:
    """X3: in transaction mode nothing prepared may be needed by the next message."""
    url = pooler.dsn(name_of(database))
    async with postgres_session(url) as one, postgres_session(url) as two, asyncio.TaskGroup() as group:
        for number in range(20):
            for asked in (one, two):
                group.create_task(first_value(asked, "SELECT $1::int", number))


async def test_pooler_that_swallows_the_settings_is_noticed(database: str, postgres_server: PostgresServer) -> None:
    """X3: ignore_startup_parameters makes the login succeed and every limit vanish."""
    ours = "default_transaction_read_only,statement_timeout,lock_timeout,idle_in_transaction_session_timeout"
    target = (postgres_server.host, postgres_server.port)
    with PgBouncerServer(target, "transaction", {"ignore_startup_parameters": ours}) as server:
        async with postgres_session(server.dsn(name_of(database))) as asked:
            assert await first_value(asked, "SELECT current_setting('statement_timeout')") == "5s"
            write = await failure_of(asked.fetch("CREATE TABLE t ()", timeout_seconds=GENEROUS_SECONDS))
            assert write.reason is Reason.PERMISSION


async def test_full_pooler_is_exhausted(database: str, postgres_server: PostgresServer) -> None:
    """X3: the server lives and serves its clients, only new ones are refused."""
    target = (postgres_server.host, postgres_server.port)
    with PgBouncerServer(target, "session", {"max_client_conn": "1"}) as server:
        # Without TLS: an upgrade that is rejected connects a second time, and the pooler may still count the first.
        address = PostgresAddress.parse(f"{server.dsn(name_of(database))}?sslmode=disable")
        async with postgres_session(address) as asked:
            await first_value(asked, "SELECT 1")
            assert (await failure_of(probe(address, GENEROUS_SECONDS))).reason is Reason.EXHAUSTED


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_search_path_of_the_url_is_honoured(
    database: str,
    postgres_server: PostgresServer,
    is_pooled: bool,  # noqa: FBT001
) -> None:
    """X16: the table in `prod` is read, and not the one of the same name in `public`."""
    name = name_of(database)
    statements = (
        "CREATE SCHEMA prod; CREATE TABLE t AS SELECT 'public' AS place; CREATE TABLE prod.t AS SELECT 'prod' AS place"
    )
    await asyncio.to_thread(postgres_server.run_sql, statements, name)
    query = "?options=-csearch_path%3Dprod%2Cpublic"
    with PgBouncerServer((postgres_server.host, postgres_server.port), "transaction") as pooler:
        async with postgres_session((pooler.dsn(name) if is_pooled else database) + query) as asked:
            assert await first_value(asked, "SELECT place FROM t") == "prod"


async def test_kept_connection_follows_the_name_as_soon_as_the_canary_met_another_server(
    postgres_server: PostgresServer,
) -> None:
    """X2: the first server lives on; the canary's connection is the first that leads to the second."""
    with PostgresServer() as other:
        async with MovingName.opened(postgres_server.host, postgres_server.port) as name:
            address = PostgresAddress.parse(
                postgres_server.dsn().replace(f":{postgres_server.port}/", f":{name.port}/")
            )
            async with postgres_session(address) as asked:
                before = await first_value(asked, STARTED)
                await asked.probe(address, GENEROUS_SECONDS)
                assert (await first_value(asked, STARTED), asked.server_changes) == (before, 0)
                name.move(other.host, other.port)
                await asked.probe(address, GENEROUS_SECONDS)
                with capture_logs() as lines:
                    assert await first_value(asked, STARTED) != before
                assert asked.server_changes == 1
                assert [line["event"] for line in lines] == ["database.server_changed"]
                await asked.probe(address, GENEROUS_SECONDS)
                await first_value(asked, STARTED)
                assert asked.server_changes == 1


async def test_old_connection_is_left_although_nothing_is_wrong_with_it(
    database: str, postgres_server: PostgresServer
) -> None:
    """X2: no canary has to run for this."""
    async with postgres_session(database, max_age_seconds=0.2) as asked:
        first = await first_value(asked, "SELECT pg_backend_pid()")
        async with asyncio.timeout(GENEROUS_SECONDS):
            while await first_value(asked, "SELECT pg_backend_pid()") == first:
                pass
        sql = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {first}"  # noqa: S608 - a number
        async with asyncio.timeout(GENEROUS_SECONDS):
            while await asyncio.to_thread(postgres_server.run_sql, sql) != [["0"]]:
                pass


async def test_full_server_leaves_the_old_connection_in_use(postgres_server: PostgresServer) -> None:
    """X2: with all connections used up, the kept one is what ends idle sessions."""
    postgres_server.create_user("lonely", options="LOGIN CONNECTION LIMIT 1")
    try:
        async with postgres_session(postgres_server.dsn(user="lonely"), max_age_seconds=0) as asked:
            pids = [await first_value(asked, "SELECT pg_backend_pid()") for _ in range(3)]
        assert len(set(pids)) == 1
    finally:
        postgres_server.run_sql('DROP ROLE "lonely"')


async def test_environment_and_home_of_libpq_are_never_looked_at(database: str, tmp_path: Path) -> None:
    """X4: each of these made the database "down", or led the password elsewhere."""
    folder = tmp_path / "home" / ".postgresql"
    folder.mkdir(parents=True)
    for name in ("postgresql.crt", "postgresql.key", "root.crt", "root.crl"):
        (folder / name).write_text("no certificate")
    values = dict.fromkeys(
        ("PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGPASSFILE", "PGSERVICEFILE"), str(folder / "root.crt")
    ) | {
        "PGHOST": "nobody.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "nothing", "PGSERVICE": "none",
        "PGPASSWORD": "wrong", "PGSSLMODE": "verify-full", "PGTARGETSESSIONATTRS": "standby", "PGKRBSRVNAME": "x",
        "PGSSLNEGOTIATION": "direct", "PGSSLMINPROTOCOLVERSION": "TLSv9", "PGGSSLIB": "x", "PGOPTIONS": "-cx.y=1",
        "HOME": str(tmp_path / "home"),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as environment:  # ends before psql drops the database
        for name, value in values.items():
            environment.setenv(name, value)
        async with postgres_session(database) as asked:
            assert await first_value(asked, "SELECT current_setting('x.y', true)") is None


async def test_role_of_the_server_is_asked_for(database: str) -> None:
    """X16: target_session_attrs of a primary."""
    await probe(PostgresAddress.parse(f"{database}?target_session_attrs=read-write"), GENEROUS_SECONDS)
    await failure_of(probe(PostgresAddress.parse(f"{database}?target_session_attrs=standby"), GENEROUS_SECONDS))


class TlsServer(PostgresServer):
    """Serves TLS with a certificate for 127.0.0.1 that is its own authority, and can be replaced."""

    def prepare(self) -> None:
        super().prepare()
        self.use(make_serving_pair(self.folder, "first"))
        with (self.folder / "data" / "postgresql.auto.conf").open("a", encoding="utf-8") as configuration:
            paths = (self.folder / "served.crt", self.folder / "served.key")
            configuration.write("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n".format(*paths))

    def use(self, pair: KeyPair) -> None:
        for source, name in ((pair.certificate_path, "served.crt"), (pair.key_path, "served.key")):
            path = self.folder / name
            path.write_bytes(source.read_bytes())
            path.chmod(0o600)
            if self._account is not None:
                shutil.chown(path, ACCOUNT, ACCOUNT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_system", [False, True])
async def test_rotated_authority_of_the_database_heals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_system: bool,  # noqa: FBT001
) -> None:
    """X1: named by sslrootcert, and as the system's by SSL_CERT_FILE."""
    authority = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with TlsServer() as server:
        authority.write_bytes((server.folder / "first.crt").read_bytes())
        query = f"?sslmode=verify-full&sslrootcert={'system' if is_system else authority}"
        address = PostgresAddress.parse(server.dsn() + query)
        await probe(address, GENEROUS_SECONDS)
        second = await asyncio.to_thread(make_serving_pair, tmp_path, "second")
        server.use(second)
        await asyncio.to_thread(server.run_sql, "SELECT pg_reload_conf()")
        async with asyncio.timeout(GENEROUS_SECONDS):
            while (await outcome(address)) is None:
                pass
        assert await outcome(address) is Reason.TLS
        authority.write_bytes(second.certificate_path.read_bytes())
        assert await outcome(address) is None
        authority.write_bytes(b"")
        assert await outcome(address) is None  # the last trust stays in use while the file is being written


async def outcome(address: PostgresAddress) -> Reason | None:
    try:
        await probe(address, GENEROUS_SECONDS)
    except BackendError as error:
        return error.reason
    return None


@pytest.mark.timeout(60)
async def test_preferred_tls_falls_back_where_only_clear_text_is_let_in_and_the_other_way_round(tmp_path: Path) -> None:
    """L12: `prefer` and `allow` mean what they mean in libpq, without its home directory."""
    with TlsServer() as server:
        hba = server.folder / "data" / "pg_hba.conf"
        for kind, is_tls in (("hostnossl", False), ("hostssl", True)):
            hba.write_text(f"local all all trust\n{kind} all all 127.0.0.1/32 scram-sha-256\n")
            await asyncio.to_thread(server.run_sql, "SELECT pg_reload_conf()")
            for mode in ("prefer", "allow"):
                address = PostgresAddress.parse(f"{server.dsn()}?sslmode={mode}")
                async with asyncio.timeout(GENEROUS_SECONDS):
                    while await outcome(address) is not None:
                        pass
                async with postgres_session(address) as asked:
                    sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                    assert await first_value(asked, sql) is is_tls
