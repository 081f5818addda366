"""Credentials of a pod, their renewal, and what is sent with them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from chassis.errors import ConfigError
from chassis.kubernetes import credentials as access
from chassis.kubernetes.credentials import TOKEN_SECONDS, Credentials, in_cluster
from chassis.kubernetes.kubeconfig import from_kubeconfig
from tests.fakes.clock import ManualClock
from tools.servers.kubernetes.certificates import make_serving_pair

ROOT = Path(__file__).parents[4]
SERVER = "https://127.0.0.1:1"
PLUG_IN = """
import json, sys
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": %s}))
"""
OPEN_PLAIN = """
import asyncio, sys
from pathlib import Path
from chassis.kubernetes.client import KubernetesClient

async def main():
    async with KubernetesClient.opened(Path(sys.argv[1])):
        pass

asyncio.run(main())
sys.exit('kubernetes_asyncio' in sys.modules)
"""


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """A ServiceAccount's folder."""
    pair = make_serving_pair(tmp_path, "server")
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(pair.certificate_path.read_bytes())
    (folder / "token").write_text("hunter2-first\n")
    return folder


def environment(host: str = "10.96.0.1", port: str = "443") -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def messages_of(folder: Path, variables: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        in_cluster(folder, variables)
    assert {fault.path for fault in caught.value.faults} == {"kubernetes"}
    return [fault.message.removeprefix("the credentials cannot be used: ") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("host", "server"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443"), ("api", "https://api:443")],
)
def test_pod_has_the_address_of_its_environment(account: Path, host: str, server: str) -> None:
    found = in_cluster(account, environment(host))
    assert (found.server, found.token, found.token_path) == (server, "hunter2-first", account / "token")
    assert found.tls is not None
    assert [entry["subject"] for entry in found.tls.get_ca_certs()] == [((("commonName", "server"),),)]


@pytest.mark.parametrize("absent", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
@pytest.mark.parametrize("is_empty", [True, False])
def test_place_without_the_service_is_no_pod(account: Path, absent: str, is_empty: bool) -> None:  # noqa: FBT001
    variables = environment()
    del variables[absent]
    (message,) = messages_of(account, variables | ({absent: ""} if is_empty else {}))
    assert message.startswith("this is not a pod")
    assert message.endswith("set kubernetes.kubeconfig to a kubeconfig file")


def test_faults_of_a_pod_are_told_together(account: Path) -> None:
    (account / "token").write_text("\n")
    (account / "ca.crt").unlink()
    assert messages_of(account, environment(port="tcp")) == [
        f"{account / 'token'} is empty",
        f"cannot load {account / 'ca.crt'}: No such file or directory",
        "KUBERNETES_SERVICE_PORT is not a number",
    ]


@pytest.mark.parametrize("content", [b"two words", b"a\nb", b"\xff", "schl\u00fcssel".encode()])
def test_token_that_no_header_carries_is_refused_unquoted(account: Path, content: bytes) -> None:
    (account / "token").write_bytes(content)
    assert messages_of(account, environment()) == [f"{account / 'token'} holds no token"]


async def test_replaced_token_is_sent_within_a_minute(account: Path) -> None:
    clock = ManualClock()
    async with access.opened(await asyncio.to_thread(in_cluster, account, environment()), clock) as opened:
        (account / "token").write_text("hunter2-second")
        await clock.advance(TOKEN_SECONDS - 1)
        assert (await opened.credentials()).token == "hunter2-first"
        await clock.advance(1)
        assert (await opened.credentials()).token == "hunter2-second"
        (account / "token").write_text("hunter2-third")
        assert (await opened.credentials()).token == "hunter2-second"
    assert TOKEN_SECONDS <= 60


async def test_unreadable_token_leaves_the_last_one_and_is_logged_once(account: Path) -> None:
    clock = ManualClock()
    async with access.opened(await asyncio.to_thread(in_cluster, account, environment()), clock) as opened:
        (account / "token").unlink()
        await clock.advance(TOKEN_SECONDS)
        with structlog.testing.capture_logs() as lines:
            assert [(await opened.credentials()).token for _ in range(3)] == ["hunter2-first"] * 3
        assert [line["event"] for line in lines] == ["kubernetes.renewal_failed"]
        assert "hunter2" not in str(lines)
        assert str(account / "token") in str(opened.problem)
        (account / "token").write_text("hunter2-second")
        assert (await opened.credentials()).token == "hunter2-second"
        assert opened.problem is None


def test_representation_hides_what_is_secret() -> None:
    shown = repr(Credentials(SERVER, token="hunter2", plug_in={"exec": {"env": "hunter2"}}))
    assert "hunter2" not in shown


def with_plug_in(folder: Path, status: dict[str, Any]) -> Path:
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", PLUG_IN % json.dumps(status)],
    }
    return written(folder, {"exec": command})


def written(folder: Path, user: dict[str, Any]) -> Path:
    path = folder / "kubeconfig"
    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.timeout(60)
async def test_plug_in_gives_the_token(tmp_path: Path) -> None:
    credentials = await asyncio.to_thread(from_kubeconfig, with_plug_in(tmp_path, {"token": "hunter2-plug-in"}))
    assert credentials.token is None
    async with access.opened(credentials) as opened:
        known = await opened.credentials()
        assert (known.server, known.token) == (SERVER, "hunter2-plug-in")


@pytest.mark.timeout(60)
async def test_plug_in_with_a_relative_path_stands_beside_the_file(tmp_path: Path) -> None:
    """As for kubectl; from the working folder it could be anybody's program."""
    status = json.dumps({"token": "hunter2-beside"})
    (tmp_path / "plug-in").write_text(f"#!{sys.executable}\n{PLUG_IN % status}")
    (tmp_path / "plug-in").chmod(0o755)
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plug-in"}
    credentials = await asyncio.to_thread(from_kubeconfig, written(tmp_path, {"exec": entry}))
    async with access.opened(credentials) as opened:
        assert (await opened.credentials()).token == "hunter2-beside"


@pytest.mark.timeout(60)
async def test_plug_in_that_hangs_takes_one_thread(tmp_path: Path) -> None:
    """R11: a thread for each request would leave none for DNS, tokens and large deliveries."""
    first, released = tmp_path / "first", tmp_path / "released"
    status = {"token": "hunter2", "expirationTimestamp": "2020-01-01T00:00:00Z"}
    script = (
        "import pathlib, sys, time\n"
        "first, released = map(pathlib.Path, sys.argv[1:])\n"
        "while first.exists() and not released.exists(): time.sleep(0.05)\n"
        f"first.touch()\n{PLUG_IN % json.dumps(status)}"
    )
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable}
    path = written(tmp_path, {"exec": entry | {"args": ["-c", script, str(first), str(released)]}})
    clock = ManualClock()
    async with access.opened(await asyncio.to_thread(from_kubeconfig, path), clock) as opened:
        await clock.advance(access.PLUG_IN_SECONDS)
        try:
            for _ in range(12):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await opened.credentials()
            assert (await opened.credentials()).token == "hunter2"
            assert sum(thread.name.startswith("asyncio_") for thread in threading.enumerate()) <= 2
        finally:
            released.touch()


@pytest.mark.timeout(60)
async def test_plug_in_gives_a_certificate(tmp_path: Path) -> None:
    pair = make_serving_pair(tmp_path, "client")
    status = {
        "clientCertificateData": pair.certificate_path.read_text(),
        "clientKeyData": pair.key_path.read_text(),
    }
    credentials = await asyncio.to_thread(from_kubeconfig, with_plug_in(tmp_path, status))
    async with access.opened(credentials) as opened:
        assert (await opened.credentials()).token is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("user", [{"exec": {"command": "/nowhere"}}, {"auth-provider": {"name": "unknown"}}])
async def test_plug_in_that_gives_nothing_is_a_fault(tmp_path: Path, user: dict[str, Any]) -> None:
    credentials = await asyncio.to_thread(from_kubeconfig, written(tmp_path, user))
    with pytest.raises(ConfigError) as caught:
        async with access.opened(credentials):
            pass
    (fault,) = caught.value.faults
    assert fault.path == "kubernetes.kubeconfig"
    assert fault.message.startswith("the credentials cannot be used: the plug-in")


@pytest.mark.timeout(60)
def test_plain_kubeconfig_does_not_load_the_library(tmp_path: Path) -> None:
    """It costs 35 MiB and most of a second."""
    path = written(tmp_path, {"token": "hunter2"})
    assert subprocess.run([sys.executable, "-c", OPEN_PLAIN, path], check=False, cwd=ROOT).returncode == 0
