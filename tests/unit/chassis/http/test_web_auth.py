from __future__ import annotations

import asyncio
import ssl
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import structlog
from aiohttp import web
from structlog.testing import CapturingLogger

from chassis.http import web_auth
from chassis.http.server import Listener
from chassis.http.web_auth import WAITING_MAX_PER_ADDRESS, OverloadedError, Passwords, WebGuard, credentials_of
from chassis.http.web_config import read_web
from exporter.self_metrics import Refusal
from tests.fakes.clock import ManualClock
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    folder = tmp_path_factory.mktemp("pairs")
    return make_serving_pair(folder, "first"), make_serving_pair(folder, "second")


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@dataclass
class World:
    """A guarded site of one page."""

    guard: WebGuard
    clock: ManualClock
    url: str = ""
    refused: list[Refusal] = field(default_factory=list)
    reloads: list[bool] = field(default_factory=list)

    def note(self, *, is_successful: bool) -> None:
        self.reloads.append(is_successful)

    async def status(self, tls: ssl.SSLContext | None = None, **headers: str) -> int:
        return (await self.answer(tls, **headers)).status

    async def answer(self, tls: ssl.SSLContext | None = None, **headers: str) -> aiohttp.ClientResponse:
        scheme = "http" if tls is None else "https"
        connector = aiohttp.TCPConnector(ssl=True if tls is None else tls)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"{scheme}://{self.url}/", headers=headers) as answer,
        ):
            await answer.read()
            return answer


@asynccontextmanager
async def guarded(file: Path) -> AsyncIterator[World]:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="page")

    clock = ManualClock()
    first = await asyncio.to_thread(read_web, file)
    refused: list[Refusal] = []
    guard = WebGuard(file, first, refused.append, clock)
    world = World(guard, clock, refused=refused)
    app = web.Application(middlewares=[guard.middleware])
    app.on_response_prepare.append(guard.add_headers)
    app.router.add_get("/", page)
    async with Listener.opened(app, ("127.0.0.1", 0), tls=first.tls) as listener, asyncio.TaskGroup() as group:
        world.url = f"127.0.0.1:{listener.bound[1]}"
        logger = structlog.wrap_logger(CapturingLogger(), processors=[])
        task = group.create_task(guard.watch(listener.replace_tls, world.note, logger))
        await clock.wait_until_sleeping()
        yield world
        task.cancel()


async def reloaded(world: World) -> None:
    """Lets the watch check once, and waits for its result."""
    before = len(world.reloads)
    await world.clock.advance(1.0)
    while len(world.reloads) == before:  # noqa: ASYNC110 - it reads files in a thread
        await asyncio.sleep(0.001)


def client(authority: KeyPair, own: KeyPair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate_path))
    if own is not None:
        context.load_cert_chain(own.certificate_path, own.key_path)
    return context


def tls_file(file: Path, pair: KeyPair, more: str = "") -> None:
    file.write_text(f"tls_server_config: {{cert_file: {pair.certificate_path}, key_file: {pair.key_path}{more}}}\n")


async def test_right_password_passes_and_others_do_not(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    async with guarded(file) as world:
        assert await world.status(**basic("alice", PASSWORD)) == 200
        for headers in ({}, basic("alice", "wrong"), basic("bob", PASSWORD), {"Authorization": "Basic %%%"}):
            answer = await world.answer(**headers)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Basic")
        assert world.refused == [Refusal.UNAUTHORIZED] * 4


async def test_password_is_checked_once_and_remembered(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    passwords, loaded = Passwords(), await asyncio.to_thread(read_web, file)
    header = basic("alice", PASSWORD)["Authorization"]
    assert [await passwords.is_right(loaded, header) for _ in range(5)] == [True] * 5
    assert passwords.checks == 1
    wrong = basic("alice", "wrong")["Authorization"]
    assert [await passwords.is_right(loaded, wrong) for _ in range(5)] == [False] * 5
    assert passwords.checks == 2


async def test_flood_of_wrong_passwords_does_not_push_the_right_one_out(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    passwords, loaded = Passwords(), await asyncio.to_thread(read_web, file)
    header = basic("alice", PASSWORD)["Authorization"]
    await passwords.is_right(loaded, header)
    for number in range(120):
        await passwords.is_right(loaded, basic("alice", f"wrong {number}")["Authorization"])
    before = passwords.checks
    assert (await passwords.is_right(loaded, header), passwords.checks - before) == (True, 0)


async def test_unknown_user_costs_as_much_as_a_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L4: otherwise the response time would reveal which users exist, whatever the costs of their hashes."""
    costly = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}', bob: '{costly}'}}\n")
    passwords, loaded = Passwords(), await asyncio.to_thread(read_web, file)
    compared: list[str] = []
    matches = web_auth._matches

    def compare(password: bytes, wanted: bytes) -> bool:
        compared.append(wanted.decode())
        return matches(password, wanted)

    monkeypatch.setattr(web_auth, "_matches", compare)
    strangers = [f"stranger-{number}" for number in range(16)]
    for name in [*strangers, *strangers]:
        for password in (PASSWORD, f"wrong for {name}"):
            assert not await passwords.is_right(loaded, basic(name, password)["Authorization"])
    assert set(compared) == {HASH, costly}
    assert all(compared[2 * number] == compared[2 * number + 1] for number in range(16)), "one name, one cost"


async def test_request_without_a_password_costs_no_check(tmp_path: Path) -> None:
    """L4, M3: requests without credentials take no place from those with one."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    passwords, loaded = Passwords(), await asyncio.to_thread(read_web, file)
    for header in ("", "Basic", "Bearer abc", "Basic %%%"):
        assert not await passwords.is_right(loaded, header)
    assert passwords.checks == 0


async def test_flood_of_passwords_gets_503_and_the_right_one_passes(tmp_path: Path) -> None:
    """M3: whether an unchecked password is right is unknown: 503, which Alertmanager repeats, never 401."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    passwords, loaded = Passwords(), await asyncio.to_thread(read_web, file)
    right = basic("alice", PASSWORD)["Authorization"]
    assert await passwords.is_right(loaded, right)
    outcomes: list[object] = []

    async def attack(number: int, address: str) -> None:
        try:
            outcomes.append(await passwords.is_right(loaded, basic("alice", f"x{number}")["Authorization"], address))
        except OverloadedError:
            outcomes.append("overloaded")

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(attack(number, "192.0.2.1"))
        for number in range(100, 104):
            group.create_task(attack(number, "192.0.2.2"))
        await asyncio.sleep(0)
        assert await passwords.is_right(loaded, right, "192.0.2.1")
    assert (outcomes.count("overloaded"), outcomes.count(False)) == (
        100 - WAITING_MAX_PER_ADDRESS,
        WAITING_MAX_PER_ADDRESS + 4,
    )


@pytest.mark.parametrize(
    "following", ["", "{}", "basic_auth_users: {}", "http_server_config: {headers: {X-Frame-Options: deny}}", None]
)
async def test_file_that_loses_its_users_keeps_the_old_ones_and_says_so(tmp_path: Path, following: str | None) -> None:
    """M4: an emptied or deleted file would let everybody in."""
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    async with guarded(file) as world:
        await asyncio.to_thread(file.unlink if following is None else lambda: file.write_text(following))
        await reloaded(world)
        assert (world.reloads, await world.status()) == ([False], 401)
        assert await world.status(**basic("alice", PASSWORD)) == 200
        file.write_text(f"basic_auth_users: {{bob: '{HASH}'}}\n")
        await reloaded(world)
        assert world.reloads == [False, True]
        assert await world.status(**basic("alice", PASSWORD)) == 401, "the name counts, not only the hash"
        assert await world.status(**basic("bob", PASSWORD)) == 200


async def test_file_that_loses_its_tls_keeps_it(tmp_path: Path, pairs: tuple[KeyPair, KeyPair]) -> None:
    """M4: the same for TLS and for required client certificates."""
    file = tmp_path / "web.yml"
    demand = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {pairs[1].certificate_path}"
    tls_file(file, pairs[0], demand)
    async with guarded(file) as world:
        bare, known = await asyncio.to_thread(client, pairs[0]), await asyncio.to_thread(client, *pairs)
        await asyncio.to_thread(tls_file, file, pairs[0])
        await reloaded(world)
        await asyncio.to_thread(file.write_text, "")
        await reloaded(world)
        assert (world.reloads, await world.status(known)) == ([False, False], 200)
        with pytest.raises(aiohttp.ClientError):
            await world.status(bare)


async def test_file_that_loses_the_names_of_its_clients_keeps_them(
    tmp_path: Path, pairs: tuple[KeyPair, KeyPair]
) -> None:
    """M4: a half-written file would let in every client of the authority."""
    file = tmp_path / "web.yml"
    demand = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {pairs[1].certificate_path}"
    tls_file(file, pairs[0], f"{demand}, client_allowed_sans: [somebody-else]")
    async with guarded(file) as world:
        known = await asyncio.to_thread(client, *pairs)
        await asyncio.to_thread(tls_file, file, pairs[0], demand)
        await reloaded(world)
        assert (world.reloads, await world.status(known)) == ([False], 403)


@pytest.mark.parametrize("check", ["RequireAndVerifyClientCert", "VerifyClientCertIfGiven"])
async def test_file_that_loses_the_authority_of_its_clients_keeps_it(
    tmp_path: Path, pairs: tuple[KeyPair, KeyPair], check: str
) -> None:
    """M4: without it the system's authorities would count, and with them every certificate that they signed."""
    file, demand = tmp_path / "web.yml", f", client_auth_type: {check}"
    authority = f"{demand}, client_ca_file: {pairs[1].certificate_path}"
    tls_file(file, pairs[0], authority)
    async with guarded(file) as world:
        known = await asyncio.to_thread(client, *pairs)
        await asyncio.to_thread(tls_file, file, pairs[0], demand)
        await reloaded(world)
        assert (world.reloads, await world.status(known)) == ([False], 200)
        await asyncio.to_thread(tls_file, file, pairs[0], f"{authority}, min_version: TLS12")
        await reloaded(world)
        assert world.reloads == [False, True], "another file with an authority is taken"


@pytest.mark.parametrize("header", ["", "Basic", "Bearer abc", "Basic !!!", "Basic /////w=="])
def test_header_that_is_no_basic_one_names_nobody(header: str) -> None:
    assert credentials_of(header)[0] == ""


async def test_configured_headers_are_on_every_answer(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("http_server_config: {headers: {X-Content-Type-Options: nosniff}}\n")
    async with guarded(file) as world:
        assert (await world.answer()).headers["X-Content-Type-Options"] == "nosniff"


async def test_rate_limit_lets_the_burst_through_and_then_one_each_interval(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("rate_limit: {interval: 10s, burst: 2}\n")
    async with guarded(file) as world:
        assert [await world.status() for _ in range(3)] == [200, 200, 429]
        await world.clock.advance(10.0)
        assert [await world.status() for _ in range(2)] == [200, 429]
        assert world.refused == [Refusal.RATE_LIMITED] * 2


async def test_page_is_served_over_tls_only(tmp_path: Path, pairs: tuple[KeyPair, KeyPair]) -> None:
    file = tmp_path / "web.yml"
    tls_file(file, pairs[0])
    async with guarded(file) as world:
        trusted, stranger = await asyncio.to_thread(client, pairs[0]), await asyncio.to_thread(client, pairs[1])
        assert await world.status(trusted) == 200
        with pytest.raises(aiohttp.ClientError):
            await world.status(stranger)
        with pytest.raises(aiohttp.ClientError):
            await world.status()


async def test_client_without_the_demanded_certificate_is_refused(
    tmp_path: Path, pairs: tuple[KeyPair, KeyPair]
) -> None:
    file = tmp_path / "web.yml"
    demand = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {pairs[1].certificate_path}"
    tls_file(file, pairs[0], demand)
    async with guarded(file) as world:
        bare, known = await asyncio.to_thread(client, pairs[0]), await asyncio.to_thread(client, *pairs)
        assert await world.status(known) == 200
        with pytest.raises(aiohttp.ClientError):
            await world.status(bare)


@pytest.mark.parametrize(("name", "status"), [("localhost", 200), ("prometheus.example", 403)])
async def test_certificate_must_carry_an_allowed_name(
    tmp_path: Path, pairs: tuple[KeyPair, KeyPair], name: str, status: int
) -> None:
    file = tmp_path / "web.yml"
    demand = f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {pairs[1].certificate_path}"
    tls_file(file, pairs[0], f"{demand}, client_allowed_sans: [{name}]")
    async with guarded(file) as world:
        assert await world.status(await asyncio.to_thread(client, *pairs)) == status


async def test_changed_certificate_is_served_without_a_restart(tmp_path: Path, pairs: tuple[KeyPair, KeyPair]) -> None:
    file = tmp_path / "web.yml"
    tls_file(file, pairs[0])
    async with guarded(file) as world:
        old, new = await asyncio.to_thread(client, pairs[0]), await asyncio.to_thread(client, pairs[1])
        tls_file(file, pairs[1])
        await reloaded(world)
        assert await world.status(new) == 200
        with pytest.raises(aiohttp.ClientError):
            await world.status(old)


async def test_rotated_certificate_file_is_read_again(tmp_path: Path, pairs: tuple[KeyPair, KeyPair]) -> None:
    file, served = tmp_path / "web.yml", KeyPair(tmp_path / "a.key", tmp_path / "a.crt")

    def serve(pair: KeyPair) -> None:
        served.key_path.write_bytes(pair.key_path.read_bytes())
        served.certificate_path.write_bytes(pair.certificate_path.read_bytes())

    serve(pairs[0])
    tls_file(file, served)
    async with guarded(file) as world:
        await asyncio.to_thread(serve, pairs[1])
        await reloaded(world)
        assert await world.status(await asyncio.to_thread(client, pairs[1])) == 200


async def test_faulty_file_keeps_the_old_configuration_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: '{HASH}'}}\n")
    async with guarded(file) as world:
        file.write_text("basic_auth_usres: {}\n")
        await reloaded(world)
        assert (world.reloads, await world.status()) == ([False], 401)
        file.write_text(f"basic_auth_users: {{alice: '{HASH}', bob: '{HASH}'}}\n")
        await reloaded(world)
        assert (world.reloads, await world.status(**basic("bob", PASSWORD))) == ([False, True], 200)


async def test_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    async with guarded(file) as world:
        for _ in range(3):
            await world.clock.advance(1.0)
            await asyncio.to_thread(threading.get_ident)
        assert world.reloads == []
