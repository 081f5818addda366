"""X2: a connection lasts no longer than what let it in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from chassis.config import ConnectionSettings
from chassis.http.server import Limits, Listener
from chassis.http.web_config import read_web
from tests.fakes.waiting import until
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair

Pairs = tuple[KeyPair, KeyPair, KeyPair]
LONG = 3600.0


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """The server's certificate, and those of two clients."""
    folder = tmp_path_factory.mktemp("pairs")
    return make_serving_pair(folder, "server"), make_serving_pair(folder, "ann"), make_serving_pair(folder, "kim")


@dataclass
class Site:
    """A page that shows how many connections were made; the page /slow waits for `released`."""

    client: aiohttp.ClientSession
    released: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)
    listener: Listener = field(init=False)

    async def page(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.connections.add(request.transport)
        if request.path == "/slow":
            await self.released.wait()
        return web.Response(text=str(len(self.connections)))

    async def ask(self, path: str = "/") -> str:
        """The page, over a kept connection where one is left."""
        host, port = self.listener.bound
        async with self.client.get(f"https://{host}:{port}{path}") as answer:
            return await answer.text()


def context(file: Path, server: KeyPair, authority: KeyPair | None) -> ssl.SSLContext | None:
    """TLS that requires a client certificate of this CA, if one is given."""
    demand = (
        ""
        if authority is None
        else (f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authority.certificate_path}")
    )
    file.write_text(f"tls_server_config: {{cert_file: {server.certificate_path}, key_file: {server.key_path}{demand}}}")
    return read_web(file).tls


@asynccontextmanager
async def site(file: Path, pairs: Pairs, *, has_certificate: bool, **limits: float) -> AsyncIterator[Site]:
    """Served to a client that shows the certificate of ann, or none."""
    server, ann, _ = pairs
    tls = await asyncio.to_thread(context, file, server, ann if has_certificate else None)
    own = ssl.create_default_context(cafile=str(server.certificate_path))
    own.load_cert_chain(ann.certificate_path, ann.key_path)
    made = Site(aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=own, keepalive_timeout=LONG)))
    app = web.Application()
    app.router.add_get("/{path:.*}", made.page)
    settings = Limits(ConnectionSettings.model_validate(limits))
    async with (
        made.client,
        Listener.opened(app, ("127.0.0.1", 0), tls=tls, drain_seconds=0.1, limits=settings) as listener,
    ):
        made.listener = listener
        yield made
        made.released.set()


async def test_connection_of_an_authority_that_was_taken_away_is_closed(tmp_path: Path, pairs: Pairs) -> None:
    """X2: it kept the roles of a certificate that no new connection may show."""
    async with site(tmp_path / "web.yml", pairs, has_certificate=True) as this:
        assert await this.ask() == "1"
        await this.listener.replace_tls(await asyncio.to_thread(context, tmp_path / "web.yml", pairs[0], pairs[2]))
        await until(lambda: len(this.listener.connections) == 0, 8)
        with pytest.raises(aiohttp.ClientError):
            await this.ask()
        assert len(this.asked) == 1


async def test_request_being_answered_is_answered_and_its_connection_closed_then(tmp_path: Path, pairs: Pairs) -> None:
    async with site(tmp_path / "web.yml", pairs, has_certificate=True) as this, asyncio.TaskGroup() as group:
        slow = group.create_task(this.ask("/slow"))
        await until(lambda: this.asked == ["/slow"])
        await this.listener.replace_tls(await asyncio.to_thread(context, tmp_path / "web.yml", pairs[0], pairs[2]))
        this.released.set()
        assert await slow == "1"
        await until(lambda: len(this.listener.connections) == 0, 8)


async def test_the_same_context_closes_nothing(tmp_path: Path, pairs: Pairs) -> None:
    async with site(tmp_path / "web.yml", pairs, has_certificate=True) as this:
        assert await this.ask() == "1"
        await this.listener.replace_tls(this.listener.connections.tls)
        assert await this.ask() == "1"


@pytest.mark.parametrize(
    ("has_certificate", "seconds", "expected"), [(True, 1e-6, "2"), (True, LONG, "1"), (False, 1e-6, "1")]
)
async def test_client_certificate_is_verified_anew(
    tmp_path: Path, pairs: Pairs, *, has_certificate: bool, seconds: float, expected: str
) -> None:
    """X2: a certificate that has ended meanwhile is shown again, and fails; other connections stay."""
    limits = {"has_certificate": has_certificate, "max_certificate_seconds": seconds}
    async with site(tmp_path / "web.yml", pairs, **limits) as this:
        assert await this.ask() == "1"
        assert await this.ask() == expected


async def test_idle_connection_with_a_certificate_ends_with_its_age(tmp_path: Path, pairs: Pairs) -> None:
    async with site(tmp_path / "web.yml", pairs, has_certificate=True, max_certificate_seconds=2.2) as this:
        assert await this.ask() == "1"
        assert len(this.listener.connections) == 1
        await until(lambda: len(this.listener.connections) == 0, 8)
