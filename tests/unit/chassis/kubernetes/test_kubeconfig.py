"""A kubeconfig's settings, over real TLS where they concern TLS, and its refused fields."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web

from chassis.errors import ConfigError, PermanentError, Reason, TransientError
from chassis.http.server import serving
from chassis.kubernetes import credentials as access
from chassis.kubernetes.client import KubernetesClient
from chassis.kubernetes.kubeconfig import from_kubeconfig
from tests.fakes.clock import ManualClock
from tests.fakes.connect_proxy import ConnectProxy
from tools.servers.kubernetes.certificates import make_serving_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chassis.kubernetes.credentials import Credentials
    from tools.servers.kubernetes.certificates import KeyPair

ROOT = Path(__file__).parents[4]
READ = """
import sys
from pathlib import Path
from chassis.kubernetes.kubeconfig import from_kubeconfig
from_kubeconfig(Path(sys.argv[1]))
"""
SERVER = "https://127.0.0.1:1"
SECRET = "hunter2"
CLUSTER = "kubernetes.kubeconfig.clusters[shop].cluster"
USER = "kubernetes.kubeconfig.users[ada].user"


@dataclass
class Kubeconfig:
    """The file's parts, changed by a test before it is written."""

    folder: Path
    cluster: dict[str, Any] = field(default_factory=lambda: {"server": SERVER})
    user: dict[str, Any] = field(default_factory=dict)
    root: dict[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        config = {
            "current-context": "work",
            "contexts": [
                {"name": "other", "context": {"cluster": "nowhere", "user": "nobody"}},
                {"name": "work", "context": {"cluster": "shop", "user": "ada"}},
            ],
            "clusters": [{"name": "shop", "cluster": self.cluster}],
            "users": [{"name": "ada", "user": self.user}],
            **self.root,
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def faults(self) -> dict[str, str]:
        """The message of each place; none repeats a secret."""
        with pytest.raises(ConfigError) as caught:
            from_kubeconfig(self.write())
        assert SECRET not in str(caught.value)
        return {fault.path: fault.message for fault in caught.value.faults}


@pytest.fixture
def config(tmp_path: Path) -> Kubeconfig:
    return Kubeconfig(tmp_path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    """The server's and the client's key and certificate."""
    folder = tmp_path_factory.mktemp("pairs")
    return make_serving_pair(folder, "server"), make_serving_pair(folder, "client")


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@asynccontextmanager
async def tls_api(pairs: tuple[KeyPair, KeyPair], requests: list[web.Request]) -> AsyncIterator[str]:
    """The address of an API that requires a client certificate."""
    server, client = pairs
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client.certificate_path)
    context.load_cert_chain(server.certificate_path, server.key_path)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with serving(app, "127.0.0.1", 0, tls=context, drain_seconds=0.1) as (host, port):
        yield f"https://{host}:{port}"


def file_fields(config: Kubeconfig, pairs: tuple[KeyPair, KeyPair], *, is_inline: bool) -> None:
    """Names the CA and the certificate: inside the file, or beside it by relative paths."""
    server, client = pairs
    files = {
        "certificate-authority": (config.cluster, server.certificate_path),
        "client-certificate": (config.user, client.certificate_path),
        "client-key": (config.user, client.key_path),
    }
    for name, (entry, path) in files.items():
        if is_inline:
            entry[f"{name}-data"], entry[name] = encoded(path), "overridden-by-data"
        else:
            (config.folder / "pki").mkdir(exist_ok=True)
            (config.folder / "pki" / path.name).write_bytes(path.read_bytes())
            entry[name] = f"pki/{path.name}"


@pytest.mark.parametrize("is_inline", [True, False], ids=["data", "files"])
async def test_client_certificate_opens_a_verified_connection(
    config: Kubeconfig,
    pairs: tuple[KeyPair, KeyPair],
    is_inline: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The key never reaches a disk: there is no folder to write to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    requests: list[web.Request] = []
    async with tls_api(pairs, requests) as address:
        config.cluster["server"] = f"{address}/clusters/one/"
        file_fields(config, pairs, is_inline=is_inline)
        async with KubernetesClient.opened(config.write()) as client:
            assert await client.get("/api", timeout_seconds=5) == {}
    assert requests[0].path == "/clusters/one/api"
    assert "Authorization" not in requests[0].headers


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"tls-server-name": "kubernetes.default.svc"}, None),
        ({"tls-server-name": "shop.example"}, Reason.TLS),
        ({"certificate-authority": None}, Reason.TLS),
        ({"certificate-authority": None, "insecure-skip-tls-verify": True}, None),
        ({"certificate-authority": None, "insecure-skip-tls-verify": False}, Reason.TLS),
    ],
)
async def test_server_is_verified_unless_told_otherwise(
    config: Kubeconfig, pairs: tuple[KeyPair, KeyPair], fields: dict[str, Any], reason: Reason | None
) -> None:
    async with tls_api(pairs, []) as address:
        file_fields(config, pairs, is_inline=False)
        config.cluster.update({"server": address} | fields)
        async with KubernetesClient.opened(config.write()) as client:
            if reason is None:
                await client.get("/api", timeout_seconds=5)
                return
            with pytest.raises(PermanentError) as caught:
                await client.get("/api", timeout_seconds=5)
    assert caught.value.reason is reason


UNRESOLVED = "kubernetes.default.svc"
"""A name of the server's certificate that only a proxy can lead to."""


@asynccontextmanager
async def behind_a_proxy(
    config: Kubeconfig, pairs: tuple[KeyPair, KeyPair]
) -> AsyncIterator[tuple[KubernetesClient, ConnectProxy]]:
    """A client of an API that only the kubeconfig's proxy reaches, with that proxy."""
    async with tls_api(pairs, []) as address:
        host, _, port = address.removeprefix("https://").partition(":")
        async with ConnectProxy.opened(host, int(port)) as proxy:
            file_fields(config, pairs, is_inline=False)
            config.cluster |= {
                "server": f"https://{UNRESOLVED}:6443",
                "proxy-url": f"http://ada:{SECRET}@127.0.0.1:{proxy.port}",
            }
            async with KubernetesClient.opened(config.write()) as client:
                yield client, proxy


async def test_proxy_gets_its_own_credentials_and_a_tunnel(config: Kubeconfig, pairs: tuple[KeyPair, KeyPair]) -> None:
    """Requests to the API server are inside the tunnel, in TLS that is verified from end to end."""
    config.user["token"] = "token-of-the-api"
    async with behind_a_proxy(config, pairs) as (client, proxy):
        assert await client.get("/api", timeout_seconds=5) == {}
        assert await client.get("/api", timeout_seconds=5) == {}
    (head,) = proxy.requests
    assert head.startswith(f"CONNECT {UNRESOLVED}:6443 ")
    assert f"Basic {base64.b64encode(f'ada:{SECRET}'.encode()).decode()}" in head
    assert "token-of-the-api" not in head


@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_proxy_that_makes_no_tunnel_is_told_without_its_password(
    config: Kubeconfig, pairs: tuple[KeyPair, KeyPair], answer: str
) -> None:
    async with behind_a_proxy(config, pairs) as (client, proxy):
        proxy.answer = answer
        with pytest.raises(TransientError) as caught:
            await client.get("/api", timeout_seconds=5)
    assert (caught.value.reason, str(caught.value)) == (
        Reason.UNREACHABLE, f"the proxy answers with status {answer[:3]}",
    )  # fmt: skip


async def test_proxy_that_is_away_is_told_without_its_password(
    config: Kubeconfig, pairs: tuple[KeyPair, KeyPair]
) -> None:
    config.cluster |= {"server": f"https://{UNRESOLVED}:6443", "proxy-url": f"http://ada:{SECRET}@127.0.0.1:1"}
    async with KubernetesClient.opened(config.write()) as client:
        with pytest.raises(TransientError) as caught:
            await client.get("/api", timeout_seconds=5)
    assert caught.value.reason is Reason.REFUSED
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(await asyncio.to_thread(from_kubeconfig, config.folder / "kubeconfig"))


def entries(server: str, token_file: str) -> dict[str, Any]:
    """A cluster and a user as lists of a kubeconfig have them."""
    return {
        "contexts": [{"name": "work", "context": {"cluster": "shop", "user": "ada"}}],
        "clusters": [{"name": "shop", "cluster": {"server": server}}],
        "users": [{"name": "ada", "user": {"tokenFile": token_file}}],
    }


def written(folder: Path, content: dict[str, Any]) -> Path:
    """A kubeconfig in its own folder, beside a token file that contains the folder's name."""
    folder.mkdir()
    (folder / "token").write_text(folder.name)
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


def merged(*paths: Path) -> Credentials:
    return from_kubeconfig(Path(":".join(map(str, paths))))


def test_first_of_several_files_wins(tmp_path: Path) -> None:
    """As for kubectl: the current context decides which cluster is acted on."""
    first = written(tmp_path / "first", {"current-context": "work", **entries("https://first", "token")})
    second = written(tmp_path / "second", {"current-context": "other", **entries("https://second", "token")})
    found = merged(first, second)
    assert (found.server, found.token) == ("https://first", "first")
    assert merged(second.with_name("absent"), first, second).server == "https://first"


def test_several_files_complete_each_other_and_paths_are_their_own(tmp_path: Path) -> None:
    parts = entries("https://shop", "token")
    names = written(tmp_path / "names", {"current-context": "work", "contexts": parts.pop("contexts")})
    users = written(tmp_path / "users", {"users": parts.pop("users")})
    found = merged(names, users, written(tmp_path / "clusters", parts))
    assert (found.server, found.token, found.folder) == ("https://shop", "users", users.parent)
    assert found.token_path == users.parent / "token"


async def test_file_that_comes_later_is_read_too(tmp_path: Path) -> None:
    first = tmp_path / "first" / "kubeconfig"
    second = written(tmp_path / "second", {"current-context": "work", **entries("https://second", "token")})
    clock = ManualClock()
    async with access.opened(await asyncio.to_thread(merged, first, second), clock) as opened:
        await clock.advance(access.TOKEN_SECONDS)
        assert (await opened.credentials()).server == "https://second"
        await asyncio.to_thread(written, first.parent, {"current-context": "work", **entries("https://first", "token")})
        await clock.advance(access.TOKEN_SECONDS)
        assert (await opened.credentials()).server == "https://first"


def test_files_of_which_none_exists_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/a: No such file"):
        merged(tmp_path / "a", tmp_path / "b")


def test_file_that_cannot_be_looked_at_is_a_fault_and_not_passed_over(tmp_path: Path) -> None:
    """The files behind it may lead to another cluster."""
    second = written(tmp_path / "second", {"current-context": "work", **entries("https://second", "token")})
    with pytest.raises(ConfigError, match="Not a directory"):
        merged(second / "kubeconfig", second)


@pytest.mark.parametrize(
    ("user", "token", "file"),
    [
        ({}, None, None),
        ({"token": "a"}, "a", None),
        ({"token": ""}, None, None),
        ({"tokenFile": "token"}, "from-file", "token"),
        ({"token": "a", "tokenFile": "token"}, "from-file", "token"),
    ],
)
def test_token_is_the_files_before_the_texts(
    config: Kubeconfig, user: dict[str, str], token: str | None, file: str | None
) -> None:
    (config.folder / "token").write_text("from-file\n")
    config.user = user
    found = from_kubeconfig(config.write())
    assert (found.token, found.token_path) == (token, None if file is None else config.folder / file)


def test_context_without_a_user_is_anonymous(config: Kubeconfig) -> None:
    """As behind `kubectl proxy`, which is on plain http."""
    config.cluster["server"] = "http://127.0.0.1:8001/"
    config.root["contexts"] = [{"name": "work", "context": {"cluster": "shop"}}]
    found = from_kubeconfig(config.write())
    assert (found.server, found.token, found.tls, found.plug_in) == ("http://127.0.0.1:8001", None, None, None)


def test_faults_are_told_together_with_their_places(config: Kubeconfig) -> None:
    config.cluster = {"server": f"https://ada:{SECRET}@api", "proxy-url": f"socks5://ada:{SECRET}@proxy"}
    config.user = {"tokenFile": "absent", "as": "root", "username": "ada", "password": SECRET}
    assert config.faults() == {
        f"{CLUSTER}.server": "expected https://host:port without a name, a password or a query",
        f"{CLUSTER}.proxy-url": "expected http://host:port or https://host:port",
        f"{USER}.tokenFile": f"cannot read {config.folder / 'absent'}: No such file or directory",
        f"{USER}.as": "impersonation is not supported",
        f"{USER}.username": "a name and password are not supported; give a token or a client certificate",
        f"{USER}.password": "a name and password are not supported; give a token or a client certificate",
    }


def test_faults_of_certificates_are_told_together(config: Kubeconfig, pairs: tuple[KeyPair, KeyPair]) -> None:
    config.cluster |= {"certificate-authority-data": base64.b64encode(SECRET.encode()).decode()}
    config.user = {"client-certificate": "absent", "client-key-data": encoded(pairs[1].key_path)}
    faults = config.faults()
    assert set(faults) == {f"{CLUSTER}.certificate-authority-data", f"{USER}.client-certificate"}
    assert faults[f"{USER}.client-certificate"] == "cannot load it with its key: No such file or directory"


@pytest.mark.parametrize(
    ("cluster", "user", "place"),
    [
        ({"server": None}, {}, f"{CLUSTER}.server"),
        ({"server": "127.0.0.1:6443"}, {}, f"{CLUSTER}.server"),
        ({"server": "https://api:port"}, {}, f"{CLUSTER}.server"),
        ({"server": "https://api?x=1"}, {}, f"{CLUSTER}.server"),
        ({"server": 1}, {}, f"{CLUSTER}.server"),
        ({"certificate-authority-data": "?"}, {}, f"{CLUSTER}.certificate-authority-data"),
        ({"certificate-authority": "absent"}, {}, f"{CLUSTER}.certificate-authority"),
        ({"insecure-skip-tls-verify": "yes"}, {}, f"{CLUSTER}.insecure-skip-tls-verify"),
        (
            {"insecure-skip-tls-verify": True, "certificate-authority": "absent"},
            {},
            f"{CLUSTER}.insecure-skip-tls-verify",
        ),
        ({"tls-server-name": 1}, {}, f"{CLUSTER}.tls-server-name"),
        ({"proxy-url": "proxy:3128"}, {}, f"{CLUSTER}.proxy-url"),
        ({"proxy-url": "http://proxy:port"}, {}, f"{CLUSTER}.proxy-url"),
        ({"proxy-url": 3128}, {}, f"{CLUSTER}.proxy-url"),
        ({}, {"token": 12345}, f"{USER}.token"),
        ({}, {"token": f"{SECRET} {SECRET}"}, f"{USER}.token"),
        ({}, {"token": f"{SECRET}\u00fc"}, f"{USER}.token"),
        ({}, {"client-certificate": "a.crt"}, f"{USER}.client-key"),
        ({}, {"client-key": "a.key"}, f"{USER}.client-certificate"),
        ({}, {"as-groups": ["system:masters"]}, f"{USER}.as-groups"),
    ],
)
def test_unusable_field_is_named(config: Kubeconfig, cluster: dict[str, Any], user: dict[str, Any], place: str) -> None:
    config.cluster |= cluster
    config.user = user
    assert list(config.faults()) == [place]


def test_encrypted_key_is_a_fault_and_asks_nobody(config: Kubeconfig, pairs: tuple[KeyPair, KeyPair]) -> None:
    pair = pairs[1]
    locked = config.folder / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", pair.key_path, "-aes256", "-passout", f"pass:{SECRET}", "-out", locked],
        check=True,
        capture_output=True,
    )
    config.user = {"client-certificate": str(pair.certificate_path), "client-key": "locked.key"}
    # In a separate session there is no terminal, and OpenSSL would ask on standard input, where the answer waits.
    opened = subprocess.run(
        [sys.executable, "-c", READ, config.write()],
        input=f"{SECRET}\n".encode(),
        capture_output=True,
        check=False,
        cwd=ROOT,
        start_new_session=True,
    )
    assert opened.returncode == 1
    assert f"ConfigError: {USER}.client-certificate: " in opened.stderr.decode()


@pytest.mark.parametrize(
    ("root", "place"),
    [
        ({"current-context": ""}, ""),
        ({"current-context": "absent"}, ".contexts"),
        ({"contexts": "work"}, ".contexts"),
        ({"contexts": [{"name": "work", "context": None}]}, ".contexts[work].context"),
        ({"clusters": []}, ".clusters"),
        ({"clusters": [{"name": "shop", "cluster": {}}] * 2}, ".clusters"),
        ({"users": None}, ".users"),
    ],
)
def test_unusable_list_is_named(config: Kubeconfig, root: dict[str, Any], place: str) -> None:
    config.root = root
    assert list(config.faults()) == [f"kubernetes.kubeconfig{place}"]


def test_file_that_is_no_yaml_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(f"users:\n- token: {SECRET}: {SECRET}\n")
    with pytest.raises(ConfigError) as caught:
        from_kubeconfig(path)
    assert str(caught.value) == f"kubernetes.kubeconfig: the credentials cannot be used: {path} is not YAML in line 2"
