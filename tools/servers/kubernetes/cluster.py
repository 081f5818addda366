"""A real Kubernetes on loopback in about five seconds, with simulated nodes whose pods have real addresses."""

from __future__ import annotations

import base64
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from tools.servers.kubernetes.client import (
    Access,
    ApiError,
    KubernetesClient,
    Manifest,
    Manifests,
    make_kubeconfig,
)
from tools.servers.kubernetes.control_plane import ApiServer, ClusterOptions, Controllers, Etcd, Kwok, Scheduler
from tools.servers.process import ServerError, make_folder, remove_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

TEST_KUBECONFIG_VARIABLE = "CONTROLCORE_TEST_KUBECONFIG"
# An existing cluster is used only when it says itself that tests may do anything in it.
MARKER_PATH = "/api/v1/namespaces/kube-system/configmaps/controlcore-test-cluster"
READY_TIMEOUT_SECONDS = 60.0
TOKEN_SECONDS = 24 * 3600


class Cluster:
    """A cluster one may do anything to, ours or an existing one that carries the marker."""

    def __init__(self, access: Access, folder: Path) -> None:
        self.access = access
        self.folder = folder
        self.client = KubernetesClient(access)
        self.kubeconfig_path = folder / "admin.kubeconfig"
        _write_secret(self.kubeconfig_path, make_kubeconfig(access))

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.access.server

    def apply(self, manifests: Manifests, *, is_dry_run: bool = False) -> list[Manifest]:
        """Server-side apply as administrator; see KubernetesClient.apply."""
        return self.client.apply(manifests, is_dry_run=is_dry_run)

    def create_namespace(self, name: str) -> None:
        """Makes a namespace and waits for its default ServiceAccount: pods are refused before that."""
        self.client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        self.client.wait_for(f"/api/v1/namespaces/{name}/serviceaccounts/default", lambda _: True)

    def delete_namespace(self, name: str) -> None:
        """Requests the namespace's deletion without waiting for it."""
        self.client.delete(f"/api/v1/namespaces/{name}")

    def token_for(self, namespace: str, service_account: str, expiration_seconds: int = TOKEN_SECONDS) -> str:
        """A fresh ServiceAccount token from the TokenRequest API (not below 600 s)."""
        answer = self.client.post(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": expiration_seconds},
            },
        )
        return str(answer["status"]["token"])

    def access_for(self, namespace: str, service_account: str) -> Access:
        """The access of a ServiceAccount, with exactly the rights its Roles give."""
        token = self.token_for(namespace, service_account)
        return Access(self.access.server, self.access.certificate_authority, token=token)

    def client_for(self, namespace: str, service_account: str) -> KubernetesClient:
        """A client with the rights of a ServiceAccount."""
        return KubernetesClient(self.access_for(namespace, service_account))

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """Writes a kubeconfig with a ServiceAccount's token and namespace into the cluster's folder."""
        path = self.folder / f"{namespace}.{service_account}.kubeconfig"
        _write_secret(path, make_kubeconfig(self.access_for(namespace, service_account), namespace))
        return path

    def wait_for(self, path: str, is_reached: Callable[[Manifest], bool], timeout_seconds: float = 30.0) -> Manifest:
        """See KubernetesClient.wait_for."""
        return self.client.wait_for(path, is_reached, timeout_seconds)

    def wait_rolled_out(self, namespace: str, deployment: str, timeout_seconds: float = 30.0) -> Manifest:
        """Returns the Deployment once its newest revision is complete and available, as `rollout status` does."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
        return self.client.wait_for(path, is_rolled_out, timeout_seconds)


class StartedCluster(Cluster):
    """A control plane of ours; its parts can be stopped, killed and frozen one by one."""

    def __init__(self, options: ClusterOptions | None = None, folder: Path | None = None) -> None:
        """Starts nothing yet; with a folder, logs and kubeconfigs stay in it."""
        self._options = options or ClusterOptions()
        self._given_folder = folder
        self._stack = ExitStack()

    def open(self) -> Self:
        """Starts everything and returns when nodes are Ready and namespaces get their ServiceAccounts."""
        with ExitStack() as stack:
            folder = self._given_folder or make_folder("cluster")
            if self._given_folder is None:
                stack.callback(remove_folder, folder)
            self.etcd = stack.enter_context(Etcd(folder))
            self.api = stack.enter_context(ApiServer(self.etcd, self._options, folder))
            super().__init__(self.api.access, folder)
            parts = (self.api, self.kubeconfig_path, self._options, folder)
            self.controllers = stack.enter_context(Controllers(*parts))
            self.scheduler = stack.enter_context(Scheduler(*parts))
            self.kwok = stack.enter_context(Kwok(*parts))
            self._add_nodes()
            self._stack = stack.pop_all()
        return self

    def close(self) -> None:
        """Ends every process and removes the folder."""
        self._stack.close()

    @property
    def pod_network(self) -> str:
        """The pods' network, 127.X.0.1/16."""
        return self.kwok.pod_network

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add_nodes(self) -> None:
        names = [f"node-{number + 1}" for number in range(self._options.node_count)]
        for name in names:
            labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"}
            self.client.post("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        for name in names:
            self.client.wait_for(f"/api/v1/nodes/{name}", _is_schedulable, READY_TIMEOUT_SECONDS)
        self.client.wait_for(
            "/api/v1/namespaces/default/serviceaccounts/default", lambda _: True, READY_TIMEOUT_SECONDS
        )


@contextmanager
def open_cluster(options: ClusterOptions | None = None) -> Iterator[Cluster]:
    """The cluster named by CONTROLCORE_TEST_KUBECONFIG, if it carries the marker; a fresh one otherwise.

    KUBECONFIG is ignored: it may be a production cluster.
    """
    named = os.environ.get(TEST_KUBECONFIG_VARIABLE)
    if not named:
        with StartedCluster(options) as cluster:
            yield cluster
        return
    folder = make_folder("cluster")
    try:
        yield use_existing_cluster(Path(named), folder)
    finally:
        remove_folder(folder)


def use_existing_cluster(kubeconfig_path: Path, folder: Path) -> Cluster:
    """The cluster of a kubeconfig's current context; ServerError without the marker object."""
    cluster = Cluster(_read_access(kubeconfig_path, folder), folder)
    try:
        cluster.client.get(MARKER_PATH)
    except ApiError as error:
        if error.code != 404:
            raise
        raise ServerError(
            f"the cluster of {kubeconfig_path} lacks {MARKER_PATH}: tests create and delete anything, so it must say"
            " that they may: kubectl --namespace kube-system create configmap controlcore-test-cluster"
        ) from error
    return cluster


def is_rolled_out(deployment: Manifest) -> bool:
    """Whether every wanted replica is of the newest revision and available, and no old one is left."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def _is_schedulable(node: Manifest) -> bool:
    """Ready, and without the taints that the node controller lifts a moment after."""
    conditions = node.get("status", {}).get("conditions", [])
    is_ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return is_ready and not node["spec"].get("taints")


def _read_access(kubeconfig_path: Path, folder: Path) -> Access:
    """The access in a kubeconfig: token or client certificate, inline or by file; command plug-ins are refused."""
    config = yaml.safe_load(kubeconfig_path.read_text(encoding="utf-8"))
    context = _pick(config["contexts"], config["current-context"])["context"]
    cluster = _pick(config["clusters"], context["cluster"])["cluster"]
    user = _pick(config["users"], context["user"])["user"]
    authority = _read_blob(cluster, "certificate-authority", folder)
    certificate = _read_blob(user, "client-certificate", folder)
    if authority is None or ("token" not in user and certificate is None):
        raise ServerError(f"{kubeconfig_path} needs a certificate authority and a token or client certificate")
    return Access(
        cluster["server"].rstrip("/"), authority, user.get("token"), certificate, _read_blob(user, "client-key", folder)
    )


def _pick(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _read_blob(source: dict[str, Any], key: str, folder: Path) -> Path | None:
    if key in source:
        return Path(source[key])
    if f"{key}-data" not in source:
        return None
    path = folder / key
    _write_secret(path, base64.b64decode(source[f"{key}-data"]).decode())
    return path


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
