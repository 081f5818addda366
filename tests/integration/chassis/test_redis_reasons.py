"""Every reason for which Redis refuses, provoked on a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chassis.errors import PermanentError, Reason, TransientError
from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession, probe
from tests.integration.chassis.deadlines import (
    GENEROUS_SECONDS,
    failure_of,
)
from tests.integration.chassis.sessions import reason_of_redis_probe, redis_session
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.ports import free_port
from tools.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "right"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A Redis with a password and few connections."""
    with RedisServer(password=PASSWORD, settings={"maxclients": "4"}) as server:
        yield server


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:right@"])
async def test_wrong_credentials_are_auth(guarded: RedisServer, credentials: str) -> None:
    assert await reason_of_redis_probe(f"redis://{credentials}{guarded.host}:{guarded.port}/1") == (
        PermanentError,
        Reason.AUTH,
    )


async def test_password_of_the_file_wins(guarded: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n", encoding="utf-8")
    url = f"redis://:wrong@{guarded.host}:{guarded.port}"
    await probe(RedisAddress.parse(url, password_file=path), GENEROUS_SECONDS)


async def test_password_where_none_is_wanted_is_auth(redis_server: RedisServer) -> None:
    url = f"redis://:anything@{redis_server.host}:{redis_server.port}"
    assert await reason_of_redis_probe(url) == (PermanentError, Reason.AUTH)


async def test_all_connections_in_use_is_exhausted(guarded: RedisServer) -> None:
    sessions = [RedisSession(RedisAddress.parse(guarded.url)) for _ in range(4)]
    try:
        for asked in sessions:
            await asked.info("server", timeout_seconds=GENEROUS_SECONDS)
        assert await reason_of_redis_probe(guarded.url) == (TransientError, Reason.EXHAUSTED)
    finally:
        for asked in sessions:
            await asked.close()


async def test_unknown_database_is_missing(redis_server: RedisServer) -> None:
    url = f"redis://{redis_server.host}:{redis_server.port}/99"
    assert await reason_of_redis_probe(url) == (PermanentError, Reason.MISSING)


async def test_unknown_host_is_dns() -> None:
    assert await reason_of_redis_probe("redis://nobody.invalid") == (TransientError, Reason.DNS)


async def test_forbidden_config_is_unknown_and_forbidden_info_is_permission(redis_server: RedisServer) -> None:
    assert redis_server.call("ACL", "SETUSER", "limited", "reset", "on", ">pw", "+@all", "-config", "-info") == "+OK"
    async with redis_session(redis_server.url.replace("redis://", "redis://limited:pw@")) as asked:
        assert await asked.config_get("maxmemory", timeout_seconds=GENEROUS_SECONDS) is None
        error = await failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS))
    assert (type(error), error.reason) == (PermanentError, Reason.PERMISSION)


@pytest.mark.timeout(30)
async def test_renamed_config_is_unknown() -> None:
    """Managed services rename the command away."""
    with RedisServer(settings={"rename-command": 'CONFIG" "'}) as server:
        async with redis_session(server.url) as asked:
            assert await asked.config_get("maxmemory", timeout_seconds=GENEROUS_SECONDS) is None


@pytest.mark.timeout(60)
async def test_server_that_loads_its_data_is_starting(tmp_path: Path) -> None:
    settings = {
        "enable-debug-command": "local",
        "appendonly": "no",
        "key-load-delay": "2000",
        "loading-process-events-interval-bytes": "1024",
    }
    with RedisServer(settings=settings) as server:
        server.call("DEBUG", "POPULATE", "5000", "k", "100")
        server.call("SAVE")
        await asyncio.to_thread(server.kill)
        server.launch()
        seen = await reason_of_redis_probe(server.url)
        while seen == (TransientError, Reason.REFUSED):
            await asyncio.sleep(0.02)
            seen = await reason_of_redis_probe(server.url)
        assert seen == (TransientError, Reason.STARTING)


@pytest.mark.timeout(30)
async def test_unix_socket_is_reached() -> None:
    with RedisServer(password=PASSWORD, settings={"unixsocket": "redis.sock"}) as server:
        socket = server.folder / "redis.sock"
        assert await probe(RedisAddress.parse(f"unix://:{PASSWORD}@{socket}?db=1"), GENEROUS_SECONDS) > 0
        assert await reason_of_redis_probe(f"unix://{socket}.none") == (TransientError, Reason.REFUSED)


@pytest.mark.timeout(30)
async def test_tls_is_verified_unless_told_otherwise(tmp_path: Path) -> None:
    pair = make_serving_pair(tmp_path, "served")
    stranger = make_serving_pair(tmp_path, "stranger").certificate_path
    port = free_port()
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(pair.certificate_path),
        "tls-key-file": str(pair.key_path),
        "tls-ca-cert-file": str(pair.certificate_path),
        "tls-auth-clients": "no",
    }
    with RedisServer(settings=settings) as server:
        url = f"rediss://{server.host}:{port}"
        for query in (f"?ssl_ca_certs={pair.certificate_path}", "?ssl_cert_reqs=none"):
            assert await probe(RedisAddress.parse(url + query), GENEROUS_SECONDS) > 0
        for query in ("", f"?ssl_ca_certs={stranger}"):
            assert await reason_of_redis_probe(url + query) == (PermanentError, Reason.TLS)
        missing = await failure_of(probe(RedisAddress.parse(f"{url}?ssl_ca_certs=/none.pem"), GENEROUS_SECONDS))
        assert missing.reason is Reason.TLS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"+OK\r\n", Reason.PROTOCOL), (b"HTTP/1.1 400 Bad Request\r\n", Reason.PROTOCOL), (b"", Reason.CLOSED)],
)
async def test_server_that_is_no_redis_has_its_reason(answer: bytes, reason: Reason) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await failure_of(probe(RedisAddress.parse(f"redis://127.0.0.1:{port}"), GENEROUS_SECONDS))
    assert error.reason is reason
