"""Ways to Redis: a name that moves while the first server lives on, and rotated certificates."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from chassis.errors import BackendError, Reason
from chassis.redis.address import RedisAddress
from chassis.redis.session import RedisSession, probe
from tests.fakes.moving_name import MovingName
from tests.integration.chassis.deadlines import GENEROUS_SECONDS
from tests.integration.chassis.sessions import redis_session
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.servers.ports import free_port
from tools.servers.redis import RedisServer

if TYPE_CHECKING:
    from pathlib import Path


async def run_id(asked: RedisSession) -> str:
    return str((await asked.info("server", timeout_seconds=GENEROUS_SECONDS))["run_id"])


async def connections(asked: RedisSession) -> int:
    return int((await asked.info("stats", timeout_seconds=GENEROUS_SECONDS))["total_connections_received"])


async def test_kept_connection_follows_the_name_as_soon_as_the_probe_met_another_server(
    redis_server: RedisServer,
) -> None:
    """X2: the first server still runs; the probe is the first to reach the second."""
    with RedisServer() as other:
        async with MovingName.opened(redis_server.host, redis_server.port) as name:
            address = RedisAddress.parse(f"redis://127.0.0.1:{name.port}/0")
            async with redis_session(address) as asked:
                before = await run_id(asked)
                await asked.probe(address, GENEROUS_SECONDS)
                assert (await run_id(asked), asked.server_changes) == (before, 0)
                name.move(other.host, other.port)
                await asked.probe(address, GENEROUS_SECONDS)
                with capture_logs() as lines:
                    assert await run_id(asked) != before
                assert asked.server_changes == 1
                assert [line["event"] for line in lines] == ["redis.server_changed"]
                await asked.probe(address, GENEROUS_SECONDS)
                await run_id(asked)
                assert asked.server_changes == 1


async def test_old_connection_is_left_although_nothing_is_wrong_with_it(redis_url: str) -> None:
    """X2: no probe has to run for this; a young one is kept."""
    address = RedisAddress.parse(redis_url)
    async with redis_session(address, max_age_seconds=3600) as kept, redis_session(address, max_age_seconds=0) as fresh:
        first = await connections(kept)
        assert await connections(kept) == first
        assert await connections(fresh) < await connections(fresh)


async def test_full_server_leaves_the_old_connection_in_use() -> None:
    """X2: at the limit of clients the kept connection is the only source of statistics."""
    with RedisServer(settings={"maxclients": "1"}) as server:
        address = RedisAddress.parse(server.url)
        async with redis_session(address, max_age_seconds=0) as asked:
            first = await connections(asked)
            assert await connections(asked) >= first


async def test_user_who_may_not_ask_info_is_still_answered(redis_server: RedisServer) -> None:
    """X2: which server it is, is then unknown, and nothing is compared."""
    redis_server.call("ACL", "SETUSER", "narrow", "on", ">secret", "+ping")
    try:
        address = RedisAddress.parse(redis_server.url.replace("redis://", "redis://narrow:secret@"))
        async with redis_session(address) as asked:
            assert await asked.probe(address, GENEROUS_SECONDS) > 0
    finally:
        redis_server.call("ACL", "DELUSER", "narrow")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_system", [False, True])
async def test_rotated_authority_of_redis_heals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_system: bool,  # noqa: FBT001
) -> None:
    """X1: named by ssl_ca_certs, and as the system's by SSL_CERT_FILE."""
    authority, tls_port = tmp_path / "ca.pem", free_port()
    first, second = (make_serving_pair(tmp_path, name) for name in ("first", "second"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    settings = {
        "tls-port": str(tls_port), "tls-cert-file": str(first.certificate_path), "tls-key-file": str(first.key_path),
        "tls-ca-cert-file": str(first.certificate_path), "tls-auth-clients": "no",
    }  # fmt: skip
    query = "" if is_system else f"?ssl_ca_certs={authority}"
    address = RedisAddress.parse(f"rediss://127.0.0.1:{tls_port}/0{query}")
    authority.write_bytes(first.certificate_path.read_bytes())
    with RedisServer(settings=settings) as server:
        assert await outcome(address) is None
        files = ("tls-cert-file", str(second.certificate_path), "tls-key-file", str(second.key_path))
        assert await asyncio.to_thread(server.call, "CONFIG", "SET", *files) == "+OK"
        assert await outcome(address) is Reason.TLS
        authority.write_bytes(second.certificate_path.read_bytes())
        assert await outcome(address) is None
        authority.write_bytes(b"half")
        assert await outcome(address) is None


async def outcome(address: RedisAddress) -> Reason | None:
    try:
        await probe(address, GENEROUS_SECONDS)
    except BackendError as error:
        return error.reason
    return None
