"""Helm installs, upgrades and uninstalls the chart on a real API server; nothing is left behind."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tools.chart import CHART
from tools.install.build import locate
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.servers.kubernetes.cluster import Cluster

FIRST: dict[str, Any] = {"remediator": {"tokenSecret": {"name": "webhook"}}}
SECOND: dict[str, Any] = {"remediator": {"enabled": False}, "exporter": {"resources": {"limits": {"memory": "200Mi"}}}}
NAMESPACED = (
    ("api/v1", "configmaps"),
    ("api/v1", "services"),
    ("api/v1", "serviceaccounts"),
    ("apis/apps/v1", "deployments"),
    ("apis/rbac.authorization.k8s.io/v1", "roles"),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    ("apis/networking.k8s.io/v1", "networkpolicies"),
)
ADMISSION = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

pytestmark = pytest.mark.timeout(180)


def helm(cluster: Cluster, namespace: str, *words: str, values: dict[str, Any] | None = None) -> str:
    command = [str(locate("helm")), *words, "--namespace", namespace, "--kubeconfig", str(cluster.kubeconfig_path)]
    if values is not None:
        command += ["--values", "-"]
    ended = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=scaled(60)
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def identities(cluster: Cluster, namespace: str, kinds: Sequence[tuple[str, str]] = NAMESPACED) -> dict[str, str]:
    """The uid of each object, without those that Kubernetes itself puts into each namespace.

    Another uid means that the object was deleted and made anew.
    """
    return {
        f"{kind}/{item['metadata']['name']}": item["metadata"]["uid"]
        for group, kind in kinds
        for item in cluster.client.get(f"/{group}/namespaces/{namespace}/{kind}")["items"]
        if item["metadata"]["name"] not in {"default", "kube-root-ca.crt"}
    }


def admission(cluster: Cluster, release: str) -> list[str]:
    return [
        item["metadata"]["name"]
        for item in cluster.client.get(ADMISSION)["items"]
        if item["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") == release
    ]


def test_release_is_installed_upgraded_and_uninstalled(cluster: Cluster, namespace: str) -> None:
    """Nothing is waited for: the image is not in a registry, and pods are not the question."""
    release = f"r-{namespace}"
    helm(cluster, namespace, "install", release, str(CHART), values=FIRST)
    installed = set(identities(cluster, namespace))
    assert {kind.partition("/")[0] for kind in installed} >= {"deployments", "roles", "configmaps"}
    assert [name for name in installed if "remediator" in name] != []
    assert admission(cluster, release) != []

    told = helm(cluster, namespace, "install", "another", str(CHART), "--dry-run=server", values=FIRST)
    assert re.findall(r"WARNING: release (\S+) already runs (\S+ \S+) in", told) == [
        (release, "an exporter"), (release, "a remediator"),
    ]  # fmt: skip
    assert "WARNING: release" not in helm(cluster, namespace, "upgrade", release, str(CHART), values=FIRST)

    helm(cluster, namespace, "upgrade", release, str(CHART), values=SECOND)
    upgraded = set(identities(cluster, namespace))
    assert [name for name in upgraded if "remediator" in name] == []
    assert admission(cluster, release) == []
    (deployment,) = cluster.client.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "200Mi"

    helm(cluster, namespace, "rollback", release, "1")
    assert set(identities(cluster, namespace)) == installed

    helm(cluster, namespace, "uninstall", release)
    assert set(identities(cluster, namespace)) == set()
    assert admission(cluster, release) == []
    assert cluster.client.get(f"/api/v1/namespaces/{namespace}/secrets")["items"] == []
