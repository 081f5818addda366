"""Rotated authorities, certificates and tokens heal without a restart, and kept connections have an age."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import yaml
from aiohttp import web

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http.call import Call
from chassis.http.client import HttpClient
from chassis.http.server import serving
from chassis.kubernetes.client import KubernetesClient
from chassis.kubernetes.credentials import PLUG_IN_SECONDS, TOKEN_SECONDS, ApiAccess, in_cluster, opened
from chassis.kubernetes.kubeconfig import from_kubeconfig
from chassis.net.trust import Trust, system_context
from tests.fakes.clock import ManualClock
from tests.fakes.moving_name import MovingName
from tests.integration.chassis.deadlines import GENEROUS_SECONDS, failure_of
from tools.servers.kubernetes.certificates import KeyPair, make_serving_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PLUG_IN = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "runs").open("a") as file:
    file.write("x")
print((folder / "answer").read_text())
"""


@pytest.fixture
def first(tmp_path: Path) -> KeyPair:
    """A server's certificate, which is its own authority."""
    return make_serving_pair(tmp_path, "first")


@pytest.fixture
def second(tmp_path: Path) -> KeyPair:
    """Another one, that the first authority did not sign."""
    return make_serving_pair(tmp_path, "second")


def server_side(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    return context


@asynccontextmanager
async def answering(text: str, pair: KeyPair | None = None) -> AsyncIterator[tuple[str, int]]:
    """A server that answers every GET with this text."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with serving(app, "127.0.0.1", 0, tls=None if pair is None else server_side(pair), drain_seconds=0) as bound:
        yield bound


async def said(client: HttpClient, port: int, scheme: str = "https") -> str:
    answer = await client.send(Call(f"{scheme}://127.0.0.1:{port}/", GENEROUS_SECONDS))
    return answer.body.decode()


async def reason_of(client: HttpClient, port: int) -> Reason:
    return (await failure_of(said(client, port))).reason


@pytest.mark.parametrize("place", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_rotated_system_authority_heals_and_the_old_one_counts_no_more(
    tmp_path: Path, first: KeyPair, second: KeyPair, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X1: every HTTP peer of both programs is verified by the system's trust, which is read again when it changes."""
    folder = tmp_path / "trust"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "nothing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv(place, str(folder if place == "SSL_CERT_DIR" else folder / "ca.pem"))

    def trust(pair: KeyPair) -> None:
        for file in folder.iterdir():
            file.unlink()
        path = pair.certificate_path
        command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(path)]
        name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        (folder / (f"{name}.0" if place == "SSL_CERT_DIR" else "ca.pem")).write_bytes(path.read_bytes())

    await asyncio.to_thread(trust, first)
    async with (
        answering("old", first) as old,
        answering("new", second) as new,
        HttpClient.opened(trust=Trust(system_context, is_system=True)) as client,
    ):
        assert await said(client, old[1]) == "old"
        assert await reason_of(client, new[1]) is Reason.TLS
        await asyncio.to_thread(trust, second)
        assert await said(client, new[1]) == "new"
        assert await reason_of(client, old[1]) is Reason.TLS


async def test_half_written_authority_leaves_the_last_trust_and_is_logged_once(tmp_path: Path, first: KeyPair) -> None:
    """X1: a file that is being replaced must not look like a server that is down."""
    path = tmp_path / "ca.pem"
    path.write_bytes(first.certificate_path.read_bytes())
    trust = Trust(lambda: ssl.create_default_context(cafile=path), (path,), check_seconds=0)
    async with answering("old", first) as old, HttpClient.opened(trust=trust) as client:
        assert await said(client, old[1]) == "old"
        path.write_bytes(first.certificate_path.read_bytes()[:100])
        with structlog.testing.capture_logs() as lines:
            assert [await said(client, old[1]) for _ in range(3)] == ["old"] * 3
        assert [line["event"] for line in lines] == ["trust.read_failed"]
        path.write_bytes(first.certificate_path.read_bytes())
        assert await said(client, old[1]) == "old"


async def test_authorities_that_never_could_be_read_are_a_tls_failure(tmp_path: Path) -> None:
    """X1: an absent file is not an error of ours."""
    path = tmp_path / "absent.pem"
    trust = Trust(lambda: ssl.create_default_context(cafile=path), (path,))
    async with HttpClient.opened(trust=trust) as client:
        assert await reason_of(client, 1) is Reason.TLS


async def test_kept_http_connection_follows_a_name_that_moved() -> None:
    """X2: the first server still runs and answers; only its age ends the connection to it."""
    async with (
        answering("A") as a,
        answering("B") as b,
        MovingName.opened(*a) as name,
        HttpClient.opened(max_age_seconds=0.5) as client,
    ):
        assert await said(client, name.port, "http") == "A"
        name.move(*b)
        async with asyncio.timeout(GENEROUS_SECONDS):
            while await said(client, name.port, "http") != "B":
                pass


async def test_requests_share_connections_until_these_are_old() -> None:
    """X2: an age must not mean a connection for each request; a request that runs meanwhile ends undisturbed."""
    release, arrived = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await release.wait()
        return web.Response(text="slow")

    app = web.Application()
    app.router.add_get("/", slow)
    async with (
        serving(app, "127.0.0.1", 0, drain_seconds=0) as place,
        answering("A") as a,
        MovingName.opened(*a) as name,
        HttpClient.opened(max_age_seconds=3600) as kept,
        HttpClient.opened(max_age_seconds=0) as fresh,
    ):
        assert [await said(kept, name.port, "http") for _ in range(3)] == ["A"] * 3
        assert name.connections == 1
        async with asyncio.TaskGroup() as group:
            running = group.create_task(said(fresh, place[1], "http"))
            await arrived.wait()
            assert [await said(fresh, name.port, "http") for _ in range(3)] == ["A"] * 3
            release.set()
        assert (running.result(), name.connections) == ("slow", 4)


class FakeApi:
    """An API server that accepts one token and counts requests by the token that they showed."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.shown: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.shown[-1] != self.token:
            return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
        return web.json_response({"kind": "Pod"})

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext) -> AsyncIterator[tuple[str, int]]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        async with serving(app, "127.0.0.1", 0, tls=tls, drain_seconds=0) as bound:
            yield bound


def account_of(folder: Path, pair: KeyPair, token: str) -> Path:
    account = folder / "account"
    account.mkdir(exist_ok=True)
    (account / "ca.crt").write_bytes(pair.certificate_path.read_bytes())
    (account / "token").write_text(token)
    return account


async def ask(access: ApiAccess) -> Any:
    return (await KubernetesClient(access).get("/api/v1/pods/x", timeout_seconds=GENEROUS_SECONDS))["kind"]


async def refusal_of(access: ApiAccess) -> Reason:
    with pytest.raises(BackendError) as caught:
        await ask(access)
    return caught.value.reason


async def test_pod_follows_the_rotated_authority_of_its_api_server(
    tmp_path: Path, first: KeyPair, second: KeyPair
) -> None:
    """X1: kube-root-ca.crt is replaced in the volume; the failed handshake has it read before the next request."""
    api, tls = FakeApi("t"), server_side(first)
    account = account_of(tmp_path, first, "t")
    async with api.serving(tls) as (host, port):
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        credentials = await asyncio.to_thread(in_cluster, account, environment)
        async with opened(credentials, ManualClock(), max_age_seconds=0) as access:
            assert await ask(access) == "Pod"
            tls.load_cert_chain(second.certificate_path, second.key_path)
            assert await refusal_of(access) is Reason.TLS
            account_of(tmp_path, second, "t")
            assert await ask(access) == "Pod"


async def test_refused_token_file_is_read_at_once(tmp_path: Path, first: KeyPair) -> None:
    """R11: 401 to the kept token; the new one is in the file already, and the same call succeeds with it."""
    api, account = FakeApi("one"), account_of(tmp_path, first, "one")
    async with api.serving(server_side(first)) as (host, port):
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        credentials = await asyncio.to_thread(in_cluster, account, environment)
        async with opened(credentials, ManualClock()) as access:
            assert await ask(access) == "Pod"
            api.token = "two"
            (account / "token").write_text("two")
            assert await ask(access) == "Pod"
            assert api.shown == ["one", "one", "two"]
            api.token = "three"
            assert await refusal_of(access) is Reason.AUTH
            assert api.shown[3:] in (["two"], ["two", "two"])
            assert access.problem == "the API server refuses the credentials (401)"
            (account / "token").write_text("three")
            assert await ask(access) == "Pod"
            assert access.problem is None


def kubeconfig(folder: Path, port: int, authority: bytes, user: dict[str, Any]) -> Path:
    path = folder / "kubeconfig"
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


async def test_rewritten_kubeconfig_is_followed(tmp_path: Path, first: KeyPair, second: KeyPair) -> None:
    """X1, R11: CA and token are in the file itself, and both are replaced."""
    api, tls = FakeApi("one"), server_side(first)
    async with api.serving(tls) as (_, port):
        path = kubeconfig(tmp_path, port, first.certificate_path.read_bytes(), {"token": "one"})
        credentials = await asyncio.to_thread(from_kubeconfig, path)
        async with opened(credentials, ManualClock(), max_age_seconds=0) as access:
            assert await ask(access) == "Pod"
            tls.load_cert_chain(second.certificate_path, second.key_path)
            api.token = "two"
            assert await refusal_of(access) is Reason.TLS
            kubeconfig(tmp_path, port, second.certificate_path.read_bytes(), {"token": "two"})
            assert await ask(access) == "Pod"


async def test_rotated_client_certificate_is_shown(tmp_path: Path, first: KeyPair, second: KeyPair) -> None:
    """X1: the server begins to trust only the second client certificate, which then lies in the kubeconfig's file."""
    tls = server_side(first)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(second.certificate_path)
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    stranger = make_serving_pair(tmp_path, "stranger")
    certificate.write_bytes(stranger.certificate_path.read_bytes())
    key.write_bytes(stranger.key_path.read_bytes())
    async with FakeApi("").serving(tls) as (_, port):
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        path = kubeconfig(tmp_path, port, first.certificate_path.read_bytes(), user)
        credentials = await asyncio.to_thread(from_kubeconfig, path)
        clock = ManualClock()
        async with opened(credentials, clock, max_age_seconds=0) as access:
            await refusal_of(access)
            certificate.write_bytes(second.certificate_path.read_bytes())
            key.write_bytes(second.key_path.read_bytes())
            await clock.advance(TOKEN_SECONDS)
            assert await ask(access) == "Pod"


def plug_in(folder: Path, token: str, ends: str | None = None) -> dict[str, Any]:
    """The user entry of a plug-in, and what it answers from now on."""
    status = {"token": token} | ({} if ends is None else {"expirationTimestamp": ends})
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (folder / "answer").write_text(json.dumps(answer))
    entry = {
        "apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable,
        "args": ["-c", PLUG_IN, str(folder)],
    }  # fmt: skip
    return {"exec": entry}


@asynccontextmanager
async def opened_by_plug_in(
    folder: Path, pair: KeyPair, api: FakeApi, clock: ManualClock, ends: str | None = None
) -> AsyncIterator[ApiAccess]:
    async with api.serving(server_side(pair)) as (_, port):
        path = kubeconfig(folder, port, pair.certificate_path.read_bytes(), plug_in(folder, api.token, ends))
        async with opened(await asyncio.to_thread(from_kubeconfig, path), clock) as access:
            yield access


def runs(folder: Path) -> int:
    return os.stat(folder / "runs").st_size  # noqa: PTH116 - a test may block


@pytest.mark.timeout(60)
async def test_plug_in_is_asked_again_before_its_token_ends(tmp_path: Path, first: KeyPair) -> None:
    """R11: the token ends an hour after the start of the clock; the plug-in is asked a minute before, and once."""
    api, clock = FakeApi("one"), ManualClock()
    ends = datetime.fromtimestamp(clock.now() + 3600, UTC).isoformat()
    async with opened_by_plug_in(tmp_path, first, api, clock, ends) as access:
        await clock.advance(3600 - 61)
        assert await ask(access) == "Pod"
        assert runs(tmp_path) == 1
        plug_in(tmp_path, "two")
        api.token = "two"
        await clock.advance(2)
        assert await ask(access) == "Pod"
        assert (runs(tmp_path), api.shown) == (2, ["one", "two"])


@pytest.mark.timeout(60)
async def test_plug_in_is_asked_again_after_a_401(tmp_path: Path, first: KeyPair) -> None:
    """R11: the plug-in says no end. A refusal has it asked, no more often than every PLUG_IN_SECONDS."""
    api, clock = FakeApi("one"), ManualClock()
    async with opened_by_plug_in(tmp_path, first, api, clock) as access:
        assert await ask(access) == "Pod"
        await clock.advance(PLUG_IN_SECONDS)
        api.token = "two"
        (tmp_path / "answer").write_text("no answer")
        assert [await refusal_of(access) for _ in range(3)] == [Reason.AUTH] * 3
        assert runs(tmp_path) == 2
        assert "the plug-in failed: its answer is not an ExecCredential" in str(access.problem)
        plug_in(tmp_path, "two")
        await clock.advance(PLUG_IN_SECONDS)
        assert await ask(access) == "Pod"
        assert (runs(tmp_path), access.problem) == (3, None)


async def test_refused_authority_is_permanent(tmp_path: Path, first: KeyPair, second: KeyPair) -> None:
    """X1: nothing heals a server that is really another one."""
    account = account_of(tmp_path, second, "t")
    async with FakeApi("t").serving(server_side(first)) as (host, port):
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        credentials = await asyncio.to_thread(in_cluster, account, environment)
        async with opened(credentials, ManualClock()) as access:
            for _ in range(2):
                with pytest.raises(PermanentError) as caught:
                    await ask(access)
                assert caught.value.reason is Reason.TLS
