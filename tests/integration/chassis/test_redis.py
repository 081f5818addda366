"""The Redis adapter against a real server: frozen, away, full, refusing, loading."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.redis import RedisSession, probe
from chassis.redis_address import RedisAddress
from tools.servers.certificates import make_serving_pair
from tools.servers.ports import free_port
from tools.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

PASSWORD = "right"
DEADLINE_SECONDS = 0.6
SLACK_SECONDS = 0.2
GENEROUS_SECONDS = 10.0


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A Redis with a password and few connections."""
    with RedisServer(password=PASSWORD, settings={"maxclients": "4"}) as server:
        yield server


@asynccontextmanager
async def session(url: str) -> AsyncIterator[RedisSession]:
    opened = RedisSession(RedisAddress.parse(url))
    try:
        yield opened
    finally:
        await opened.close()


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


async def failure_of(call: Awaitable[object]) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await call
    assert caught.value.__cause__ is not None
    return caught.value


async def failure_of_own(call: Awaitable[object]) -> BackendError:
    """As failure_of, for a failure that is ours and not the driver's."""
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def reason_of_probe(url: str) -> tuple[type[BackendError], Reason]:
    error = await failure_of(probe(RedisAddress.parse(url), GENEROUS_SECONDS))
    return type(error), error.reason


async def assert_in_time(call: Callable[[], Awaitable[object]]) -> None:
    """Each of three calls times out; the quickest keeps the promise exactly, whatever else the machine is doing."""
    spent = []
    for _ in range(3):
        started = time.monotonic()
        error = await failure_of(call())
        spent.append(time.monotonic() - started)
        assert (type(error), error.reason) == (TransientError, Reason.TIMEOUT)
    assert DEADLINE_SECONDS - 0.05 <= min(spent) <= DEADLINE_SECONDS + SLACK_SECONDS
    assert max(spent) < 2.0


async def test_info_has_numbers_of_the_sections_asked_for(redis_url: str) -> None:
    async with session(redis_url) as asked:
        everything = await asked.info(timeout_seconds=GENEROUS_SECONDS)
        some = await asked.info("memory", "stats", timeout_seconds=GENEROUS_SECONDS)
    assert isinstance(everything["used_memory"], int)
    assert isinstance(everything["redis_version"], str)
    assert {"used_memory", "evicted_keys"} <= set(some)
    assert "redis_version" not in some


async def test_connection_is_kept(redis_url: str) -> None:
    async with session(redis_url) as asked:
        first = await asked.info("stats", timeout_seconds=GENEROUS_SECONDS)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asked.info("stats", timeout_seconds=GENEROUS_SECONDS)) for _ in range(8)]
    received = {int(task.result()["total_connections_received"]) for task in tasks}
    assert received == {int(first["total_connections_received"])}


async def test_frozen_server_costs_the_deadline_and_works_after_thaw(redis_url: str, redis_server: RedisServer) -> None:
    address = RedisAddress.parse(redis_url)
    async with session(redis_url) as asked:
        await asked.info(timeout_seconds=GENEROUS_SECONDS)
        with frozen(redis_server):
            await assert_in_time(lambda: asked.info(timeout_seconds=DEADLINE_SECONDS))
            await assert_in_time(lambda: probe(address, DEADLINE_SECONDS))
        assert "redis_version" in await asked.info(timeout_seconds=GENEROUS_SECONDS)
        assert 0 < await probe(address, GENEROUS_SECONDS) < GENEROUS_SECONDS


async def test_late_answer_is_never_read_by_the_next_caller(redis_url: str, redis_server: RedisServer) -> None:
    """A call given up during the freeze is answered at the thaw; its answer must go nowhere."""
    async with session(redis_url) as asked:
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
        assert time.monotonic() - started < 1.0
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
            running = group.create_task(failure_of_own(asked.info(timeout_seconds=GENEROUS_SECONDS)))
            await asyncio.sleep(0.05)
            await asked.close()
    assert running.result().reason is Reason.CLOSED


async def test_cancelled_call_leaves_a_session_that_works(redis_url: str, redis_server: RedisServer) -> None:
    async with session(redis_url) as asked:
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
        async with session(server.url) as asked:
            await asked.info(timeout_seconds=GENEROUS_SECONDS)
            await asyncio.to_thread(server.stop)
            error = await failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS))
            assert (type(error), error.reason) == (TransientError, Reason.REFUSED)
            assert await reason_of_probe(server.url) == (TransientError, Reason.REFUSED)
            await asyncio.to_thread(server.start)
            assert "redis_version" in await asked.info(timeout_seconds=GENEROUS_SECONDS)


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:right@"])
async def test_wrong_credentials_are_auth(guarded: RedisServer, credentials: str) -> None:
    assert await reason_of_probe(f"redis://{credentials}{guarded.host}:{guarded.port}/1") == (
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
    assert await reason_of_probe(url) == (PermanentError, Reason.AUTH)


async def test_all_connections_in_use_is_exhausted(guarded: RedisServer) -> None:
    sessions = [RedisSession(RedisAddress.parse(guarded.url)) for _ in range(4)]
    try:
        for asked in sessions:
            await asked.info("server", timeout_seconds=GENEROUS_SECONDS)
        assert await reason_of_probe(guarded.url) == (TransientError, Reason.EXHAUSTED)
    finally:
        for asked in sessions:
            await asked.close()


async def test_unknown_database_is_missing(redis_server: RedisServer) -> None:
    url = f"redis://{redis_server.host}:{redis_server.port}/99"
    assert await reason_of_probe(url) == (PermanentError, Reason.MISSING)


async def test_unknown_host_is_dns() -> None:
    assert await reason_of_probe("redis://nobody.invalid") == (TransientError, Reason.DNS)


async def test_forbidden_config_is_unknown_and_forbidden_info_is_permission(redis_server: RedisServer) -> None:
    assert redis_server.call("ACL", "SETUSER", "limited", "reset", "on", ">pw", "+@all", "-config", "-info") == "+OK"
    async with session(redis_server.url.replace("redis://", "redis://limited:pw@")) as asked:
        assert await asked.config_get("maxmemory", timeout_seconds=GENEROUS_SECONDS) is None
        error = await failure_of(asked.info(timeout_seconds=GENEROUS_SECONDS))
    assert (type(error), error.reason) == (PermanentError, Reason.PERMISSION)


async def test_config_is_read_and_an_unknown_name_is_unknown(redis_url: str) -> None:
    async with session(redis_url) as asked:
        assert await asked.config_get("maxmemory", timeout_seconds=GENEROUS_SECONDS) == "0"
        assert await asked.config_get("no-such-parameter", timeout_seconds=GENEROUS_SECONDS) is None


@pytest.mark.timeout(30)
async def test_renamed_config_is_unknown() -> None:
    """Managed services rename the command away."""
    with RedisServer(settings={"rename-command": 'CONFIG" "'}) as server:
        async with session(server.url) as asked:
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
        seen = await reason_of_probe(server.url)
        while seen == (TransientError, Reason.REFUSED):
            await asyncio.sleep(0.02)
            seen = await reason_of_probe(server.url)
        assert seen == (TransientError, Reason.STARTING)


@pytest.mark.timeout(30)
async def test_unix_socket_is_reached() -> None:
    with RedisServer(password=PASSWORD, settings={"unixsocket": "redis.sock"}) as server:
        socket = server.folder / "redis.sock"
        assert await probe(RedisAddress.parse(f"unix://:{PASSWORD}@{socket}?db=1"), GENEROUS_SECONDS) > 0
        assert await reason_of_probe(f"unix://{socket}.none") == (TransientError, Reason.REFUSED)


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
            assert await reason_of_probe(url + query) == (PermanentError, Reason.TLS)
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
        error = await failure_of_own(probe(RedisAddress.parse(f"redis://127.0.0.1:{port}"), GENEROUS_SECONDS))
    assert error.reason is reason


async def test_config_of_a_frozen_server_is_a_failure_not_unknown(redis_url: str, redis_server: RedisServer) -> None:
    async with session(redis_url) as asked:
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
