"""Credentials against a real API server, which reports our user name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import yaml

from chassis.errors import PermanentError, Reason
from chassis.kubernetes.client import KubernetesClient
from chassis.kubernetes.credentials import in_cluster, opened
from tests.fakes.clock import ManualClock
from tests.fakes.connect_proxy import ConnectProxy
from tools.servers.kubernetes.certificates import make_serving_pair
from tools.slowness import scaled

if TYPE_CHECKING:
    from tools.servers.kubernetes.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

GENEROUS_SECONDS = scaled(10.0)


@pytest.fixture
async def account(cluster: Cluster, namespace: str, tmp_path: Path) -> Path:
    """A ServiceAccount's folder as a pod has it, with a token of the namespace's own account."""
    (tmp_path / "ca.crt").write_bytes(cluster.access.certificate_authority.read_bytes())
    token = await asyncio.to_thread(cluster.token_for, namespace, "default")
    (tmp_path / "token").write_text(token)
    return tmp_path


@pytest.fixture
def environment(cluster: Cluster) -> dict[str, str]:
    """A pod's environment variables for the API server."""
    parts = urlsplit(cluster.server)
    return {"KUBERNETES_SERVICE_HOST": parts.hostname or "", "KUBERNETES_SERVICE_PORT": str(parts.port or 443)}


async def who_answers(client: KubernetesClient) -> str:
    """The name that the API server knows the client by."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await client.create(path, review, field_manager="controlcore-test", timeout_seconds=GENEROUS_SECONDS)
    return str(answer["status"]["userInfo"]["username"])


async def test_pod_is_its_service_account_and_follows_its_replaced_token(
    cluster: Cluster, namespace: str, account: Path, environment: dict[str, str]
) -> None:
    """The second token is of another account, so that the server itself says which of the two it was shown."""
    clock = ManualClock()
    other = {"metadata": {"name": "other"}}
    await asyncio.to_thread(cluster.client.post, f"/api/v1/namespaces/{namespace}/serviceaccounts", other)
    credentials = await asyncio.to_thread(in_cluster, account, environment)
    async with opened(credentials, clock) as access:
        client = KubernetesClient(access)
        assert await who_answers(client) == f"system:serviceaccount:{namespace}:default"
        (account / "token").write_text(await asyncio.to_thread(cluster.token_for, namespace, "other"))
        assert await who_answers(client) == f"system:serviceaccount:{namespace}:default"
        await clock.advance(60)
        assert await who_answers(client) == f"system:serviceaccount:{namespace}:other"


async def test_pod_does_not_trust_another_authority(account: Path, environment: dict[str, str]) -> None:
    stranger = await asyncio.to_thread(make_serving_pair, account, "stranger")
    (account / "ca.crt").write_bytes(stranger.certificate_path.read_bytes())
    credentials = await asyncio.to_thread(in_cluster, account, environment)
    async with opened(credentials) as access:
        with pytest.raises(PermanentError) as caught:
            await KubernetesClient(access).get("/api", timeout_seconds=GENEROUS_SECONDS)
    assert caught.value.reason is Reason.TLS


async def test_kubeconfig_with_a_token_file_is_its_account(cluster: Cluster, namespace: str, account: Path) -> None:
    """CA and token lie beside the kubeconfig and are named relative to it."""
    path = account / "kubeconfig"
    config = yaml.safe_load(cluster.kubeconfig_path.read_text())
    config["clusters"][0]["cluster"] = {"server": cluster.server, "certificate-authority": "ca.crt"}
    config["users"][0]["user"] = {"tokenFile": "token"}
    path.write_text(yaml.safe_dump(config))
    async with KubernetesClient.opened(path) as client:
        assert await who_answers(client) == f"system:serviceaccount:{namespace}:default"


async def test_merged_kubeconfigs_lead_through_their_proxy(cluster: Cluster, namespace: str, account: Path) -> None:
    """The server is in one file and the credentials in another, each with its own paths."""
    parts = urlsplit(cluster.server)
    config = yaml.safe_load(cluster.kubeconfig_path.read_text())
    users, way = account / "users", account / "way" / "kubeconfig"
    users.write_text(yaml.safe_dump({"users": [config.pop("users")[0] | {"user": {"tokenFile": "token"}}]}))
    async with ConnectProxy.opened(parts.hostname or "", parts.port or 443) as proxy:
        config["clusters"][0]["cluster"] = {
            "server": cluster.server,
            "certificate-authority": "../ca.crt",
            "proxy-url": f"http://127.0.0.1:{proxy.port}",
        }
        way.parent.mkdir()
        way.write_text(yaml.safe_dump(config))
        async with KubernetesClient.opened(Path(f"{account / 'absent'}:{way}:{users}")) as client:
            assert await who_answers(client) == f"system:serviceaccount:{namespace}:default"
    assert [head.split(" ")[0] for head in proxy.requests] == ["CONNECT"]
