from __future__ import annotations

import base64

import pytest
import yaml

from tools.servers.kubernetes.client import Access, Resource, make_kubeconfig, read_manifests
from tools.servers.kubernetes.cluster import is_rolled_out


def test_kubeconfig_is_complete_in_itself(tmp_path):
    authority = tmp_path / "ca.crt"
    authority.write_text("authority")
    parsed = yaml.safe_load(make_kubeconfig(Access("https://127.0.0.1:1", authority, token="t"), "shop"))
    assert parsed["current-context"] == "test"
    assert parsed["contexts"][0]["context"]["namespace"] == "shop"
    assert parsed["users"] == [{"name": "test", "user": {"token": "t"}}]
    cluster = parsed["clusters"][0]["cluster"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"authority"
    assert cluster["server"] == "https://127.0.0.1:1"


def test_kubeconfig_carries_a_client_certificate(tmp_path):
    for name in ("ca", "crt", "key"):
        (tmp_path / name).write_text(name)
    access = Access("https://h", tmp_path / "ca", None, tmp_path / "crt", tmp_path / "key")
    user = yaml.safe_load(make_kubeconfig(access))["users"][0]["user"]
    assert {key: base64.b64decode(value) for key, value in user.items()} == {
        "client-certificate-data": b"crt",
        "client-key-data": b"key",
    }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("---\nname: a\n---\n---\nname: b\n", ["a", "b"]),
        ({"name": "a"}, ["a"]),
        ([{"name": "a"}, {"name": "b"}], ["a", "b"]),
        ("", []),
    ],
)
def test_manifests_are_read_from_text_mapping_or_list(given, names):
    assert [manifest["name"] for manifest in read_manifests(given)] == names


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (Resource("v1", "pods", is_namespaced=True), "/api/v1/namespaces/shop/pods/one"),
        (Resource("v1", "nodes", is_namespaced=False), "/api/v1/nodes/one"),
        (Resource("apps/v1", "deployments", is_namespaced=True), "/apis/apps/v1/namespaces/shop/deployments/one"),
    ],
)
def test_path_follows_group_and_scope(resource, path):
    assert resource.path("shop", "one") == path


COMPLETE = {"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"observedGeneration": 1}, False),
        ({"updatedReplicas": 2}, False),
        ({"replicas": 4}, False),
        ({"availableReplicas": 2}, False),
    ],
)
def test_rollout_is_complete_only_when_everything_is_new_and_available(change, expected):
    deployment = {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": COMPLETE | change}
    assert is_rolled_out(deployment) is expected


def test_scaled_to_zero_is_rolled_out():
    assert is_rolled_out({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}})
