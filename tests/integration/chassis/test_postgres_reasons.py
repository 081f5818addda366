"""Every reason for which PostgreSQL refuses, provoked on a real server."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.postgres.address import PostgresAddress
from chassis.postgres.session import PostgresSession, probe
from tests.integration.chassis.deadlines import (
    GENEROUS_SECONDS,
    failure_of,
)
from tests.integration.chassis.sessions import first_value, postgres_session
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.postgres import ACCOUNT, PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def test_connection_without_tls_when_told_so(database: str) -> None:
    await probe(PostgresAddress.parse(f"{database}?sslmode=disable"), GENEROUS_SECONDS)


async def test_unix_socket_is_reached(postgres_server: PostgresServer) -> None:
    sockets = postgres_server.folder / "sockets"
    url = f"postgresql:///postgres?user=postgres&host={sockets}&port={postgres_server.port}"
    assert await probe(PostgresAddress.parse(url), GENEROUS_SECONDS) > 0
    assert await reason_of_probe(url.replace("/sockets", "/nowhere")) == (TransientError, Reason.REFUSED)


@pytest.fixture
def role(postgres_server: PostgresServer) -> Iterator[str]:
    name = f"role_{uuid.uuid4().hex[:12]}"
    yield name
    postgres_server.run_sql(f'DROP ROLE IF EXISTS "{name}"')


async def reason_of_probe(address: PostgresAddress | str) -> tuple[type[BackendError], Reason]:
    made = PostgresAddress.parse(address) if isinstance(address, str) else address
    error = await failure_of(probe(made, GENEROUS_SECONDS))
    return type(error), error.reason


async def test_role_without_login_is_auth(postgres_server: PostgresServer, role: str) -> None:
    postgres_server.create_user(role, options="NOLOGIN")
    assert await reason_of_probe(postgres_server.dsn(user=role)) == (PermanentError, Reason.AUTH)


async def test_wrong_password_is_auth_until_the_file_changes(
    postgres_server: PostgresServer, role: str, tmp_path: Path
) -> None:
    postgres_server.create_user(role, password="right")
    path = tmp_path / "password"
    address = PostgresAddress.parse(postgres_server.dsn(user=role, password="right"), password_file=path)
    path.write_text("wrong", encoding="utf-8")
    assert await reason_of_probe(address) == (PermanentError, Reason.AUTH)
    path.write_text("right\n", encoding="utf-8")
    await probe(address, GENEROUS_SECONDS)


async def test_unknown_database_is_missing(postgres_server: PostgresServer) -> None:
    assert await reason_of_probe(postgres_server.dsn(database="nowhere")) == (PermanentError, Reason.MISSING)


async def test_session_role_acts_and_needs_membership(postgres_server: PostgresServer, role: str) -> None:
    postgres_server.create_user(role)
    address = PostgresAddress.parse(postgres_server.dsn())
    async with postgres_session(dataclasses.replace(address, session_role=role)) as asked:
        assert await first_value(asked, "SELECT current_user::text") == role
        denied = asked.fetch("SELECT pg_read_file('PG_VERSION')", timeout_seconds=GENEROUS_SECONDS)
        assert (await failure_of(denied)).reason is Reason.PERMISSION
    stranger = PostgresAddress.parse(postgres_server.dsn(user=role))
    assert await reason_of_probe(dataclasses.replace(stranger, session_role="postgres")) == (
        PermanentError,
        Reason.PERMISSION,
    )


async def test_unknown_table_is_missing(database: str) -> None:
    async with postgres_session(database) as asked:
        error = await failure_of(asked.fetch("SELECT * FROM nowhere", timeout_seconds=GENEROUS_SECONDS))
    assert error.reason is Reason.MISSING


async def test_role_that_used_up_its_connections_is_quota(postgres_server: PostgresServer, role: str) -> None:
    postgres_server.create_user(role, options="LOGIN CONNECTION LIMIT 1")
    address = PostgresAddress.parse(postgres_server.dsn(user=role))
    async with postgres_session(address) as asked:
        await first_value(asked, "SELECT 1")
        assert await reason_of_probe(address) == (TransientError, Reason.QUOTA)


async def test_server_without_tls_where_it_is_required_is_tls(postgres_server: PostgresServer) -> None:
    assert await reason_of_probe(f"{postgres_server.dsn()}?sslmode=require") == (PermanentError, Reason.TLS)


async def test_unknown_host_is_dns() -> None:
    assert await reason_of_probe("postgresql://u:p@nobody.invalid/d") == (TransientError, Reason.DNS)


@pytest.mark.timeout(60)
async def test_server_that_used_up_all_its_connections_is_exhausted_then_refused_when_down() -> None:
    with PostgresServer(max_connections=4, settings={"superuser_reserved_connections": "0"}) as server:
        address = PostgresAddress.parse(server.dsn())
        sessions = [PostgresSession(address) for _ in range(4)]
        try:
            for asked in sessions:
                await first_value(asked, "SELECT 1")
            assert await reason_of_probe(address) == (TransientError, Reason.EXHAUSTED)
        finally:
            for asked in sessions:
                await asked.close()
        await asyncio.to_thread(server.stop)
        assert await reason_of_probe(address) == (TransientError, Reason.REFUSED)
        assert await reason_of_probe(server.dsn().replace("127.0.0.1", "localhost")) == (
            TransientError,
            Reason.REFUSED,
        )


@pytest.mark.timeout(60)
async def test_server_that_still_starts_is_starting() -> None:
    """A standby that serves no client answers 57P03 while it waits for its primary."""
    with PostgresServer(settings={"hot_standby": "off"}) as server:
        await asyncio.to_thread(server.stop)
        (server.folder / "data" / "standby.signal").touch()
        server.launch()
        address = PostgresAddress.parse(server.dsn())
        seen = await reason_of_probe(address)
        while seen == (TransientError, Reason.REFUSED):
            await asyncio.sleep(0.02)
            seen = await reason_of_probe(address)
        assert seen == (TransientError, Reason.STARTING)


@pytest.mark.timeout(60)
async def test_tls_is_verified_as_asked(tmp_path: Path) -> None:
    class TlsServer(PostgresServer):
        """Serves TLS with a certificate for 127.0.0.1 that is its own authority."""

        def prepare(self) -> None:
            super().prepare()
            pair = make_serving_pair(self.folder, "served")
            pair.key_path.chmod(0o600)
            if self._account is not None:
                shutil.chown(pair.key_path, ACCOUNT, ACCOUNT)
            self.authority = pair.certificate_path
            with (self.folder / "data" / "postgresql.auto.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(
                    f"ssl = on\nssl_cert_file = '{pair.certificate_path}'\nssl_key_file = '{pair.key_path}'\n"
                )

    stranger = make_serving_pair(tmp_path, "stranger").certificate_path
    with TlsServer() as server:
        for query in ("", "?sslmode=require", f"?sslmode=verify-full&sslrootcert={server.authority}"):
            async with postgres_session(server.dsn() + query) as asked:
                is_tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                assert await first_value(asked, is_tls) is True
        for query in (f"verify-full&sslrootcert={stranger}", f"require&sslrootcert={stranger}", "verify-ca"):
            assert await reason_of_probe(f"{server.dsn()}?sslmode={query}") == (PermanentError, Reason.TLS)
