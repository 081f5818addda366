"""The Kubernetes adapter against a real API server: what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from chassis.errors import BackendError, ConflictError, PermanentError, Reason, TransientError
from chassis.kubernetes.client import PAGE_ITEMS, KubernetesClient, PatchKind
from chassis.kubernetes.paths import (
    deployment_path,
    deployment_scale_path,
    deployments_path,
    namespace_path,
    pods_path,
    resource_path,
)
from tools.servers.kubernetes.cluster import StartedCluster
from tools.slowness import scaled, slowness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator
    from pathlib import Path

    from tools.servers.kubernetes.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

GENEROUS_SECONDS = scaled(10.0)
DEADLINE_SECONDS = 0.6 * slowness()
MANAGER = "controlcore-test"


def deployment(namespace: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": "api"}
    container = {"name": "api", "image": "none"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with KubernetesClient.opened(cluster.kubeconfig_path) as client:
        yield client


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    async with opened(cluster) as made:
        yield made


@pytest.fixture
async def created(client: KubernetesClient, namespace: str) -> dict[str, Any]:
    return await client.create(
        deployments_path(namespace),
        deployment(namespace),
        field_manager=MANAGER,
        timeout_seconds=GENEROUS_SECONDS,
    )


async def failure_of(call: Awaitable[object]) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


def annotated(value: str, **metadata: str) -> dict[str, Any]:
    template = {"metadata": {"annotations": {"example.com/operation": value}}}
    return {"metadata": metadata, "spec": {"template": template}}


async def test_patch_twice_with_the_same_value_changes_once(client: KubernetesClient, created: dict[str, Any]) -> None:
    path = deployment_path(created["metadata"]["namespace"], "api")
    changes = []
    for _ in range(2):
        changed = await client.patch(
            path, annotated("1"), kind=PatchKind.STRATEGIC, field_manager=MANAGER, timeout_seconds=GENEROUS_SECONDS
        )
        changes.append(changed["metadata"]["generation"])
    assert changes == [created["metadata"]["generation"] + 1] * 2


async def test_dry_run_answers_and_stores_nothing(client: KubernetesClient, created: dict[str, Any]) -> None:
    path = deployment_path(created["metadata"]["namespace"], "api")
    answer = await client.patch(
        path,
        annotated("1"),
        kind=PatchKind.MERGE,
        field_manager=MANAGER,
        dry_run=True,
        timeout_seconds=GENEROUS_SECONDS,
    )
    assert answer["spec"]["template"]["metadata"]["annotations"] == {"example.com/operation": "1"}
    stored = await client.get(path, timeout_seconds=GENEROUS_SECONDS)
    assert "annotations" not in stored["spec"]["template"]["metadata"]


async def test_deletion_that_is_tried_deletes_nothing(client: KubernetesClient, created: dict[str, Any]) -> None:
    """Neither by the one who may, nor when the server should take the dry run for meant."""
    namespace = created["metadata"]["namespace"]
    path = deployment_path(namespace, "api")
    assert (await failure_of(client.try_deletion(path, timeout_seconds=GENEROUS_SECONDS))).reason is Reason.CONFLICT
    absent = deployment_path(namespace, "absent")
    assert (await failure_of(client.try_deletion(absent, timeout_seconds=GENEROUS_SECONDS))).reason is Reason.MISSING
    found = await client.get(path, timeout_seconds=GENEROUS_SECONDS)
    assert "deletionTimestamp" not in found["metadata"]


@pytest.mark.parametrize(
    "precondition", [{"resourceVersion": "1"}, {"uid": "00000000-0000-0000-0000-000000000000"}], ids=lambda it: str(*it)
)
async def test_object_that_is_another_or_has_changed_is_a_conflict(
    client: KubernetesClient, created: dict[str, Any], precondition: dict[str, str]
) -> None:
    """409 for the version, 422 naming metadata.uid for the identity."""
    path = deployment_path(created["metadata"]["namespace"], "api")
    call = client.patch(
        path,
        annotated("1", **precondition),
        kind=PatchKind.STRATEGIC,
        field_manager=MANAGER,
        timeout_seconds=GENEROUS_SECONDS,
    )
    error = await failure_of(call)
    assert (type(error), error.reason) == (ConflictError, Reason.CONFLICT)


async def test_matching_precondition_is_accepted(client: KubernetesClient, created: dict[str, Any]) -> None:
    metadata = created["metadata"]
    body = annotated("1", uid=metadata["uid"])
    await client.patch(
        deployment_path(metadata["namespace"], "api"),
        body,
        kind=PatchKind.STRATEGIC,
        field_manager=MANAGER,
        timeout_seconds=GENEROUS_SECONDS,
    )


async def test_json_patch_with_a_failed_test_is_refused(client: KubernetesClient, created: dict[str, Any]) -> None:
    operations = [
        {"op": "test", "path": "/spec/replicas", "value": 7},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
    ]
    path = deployment_path(created["metadata"]["namespace"], "api")
    call = client.patch(path, operations, kind=PatchKind.JSON, field_manager=MANAGER, timeout_seconds=GENEROUS_SECONDS)
    assert (await failure_of(call)).reason is Reason.MALFORMED


async def test_apply_of_a_rivals_field_is_a_conflict(client: KubernetesClient, created: dict[str, Any]) -> None:
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}}
    call = client.patch(
        deployment_path(created["metadata"]["namespace"], "api"),
        wanted,
        kind=PatchKind.APPLY,
        field_manager="another",
        dry_run=True,
        timeout_seconds=GENEROUS_SECONDS,
    )
    error = await failure_of(call)
    assert type(error) is ConflictError
    assert MANAGER in str(error)


async def test_unknown_field_is_malformed(client: KubernetesClient, created: dict[str, Any]) -> None:
    call = client.patch(
        deployment_path(created["metadata"]["namespace"], "api"),
        {"spec": {"replcas": 2}},
        kind=PatchKind.MERGE,
        field_manager=MANAGER,
        timeout_seconds=GENEROUS_SECONDS,
    )
    error = await failure_of(call)
    assert (type(error), error.reason) == (PermanentError, Reason.MALFORMED)
    assert str(error).endswith('strict decoding error: unknown field "spec.replcas"')


async def test_scale_is_a_subresource(client: KubernetesClient, created: dict[str, Any]) -> None:
    path = deployment_scale_path(created["metadata"]["namespace"], "api")
    answer = await client.patch(
        path, {"spec": {"replicas": 2}}, kind=PatchKind.MERGE, field_manager=MANAGER, timeout_seconds=GENEROUS_SECONDS
    )
    assert (answer["kind"], answer["spec"]["replicas"]) == ("Scale", 2)


async def test_name_in_use_is_a_conflict(client: KubernetesClient, created: dict[str, Any]) -> None:
    namespace = created["metadata"]["namespace"]
    call = client.create(
        deployments_path(namespace),
        deployment(namespace),
        field_manager=MANAGER,
        timeout_seconds=GENEROUS_SECONDS,
    )
    assert type(await failure_of(call)) is ConflictError


async def test_absent_object_is_missing(client: KubernetesClient, namespace: str) -> None:
    error = await failure_of(client.get(deployment_path(namespace, "none"), timeout_seconds=GENEROUS_SECONDS))
    assert (type(error), error.reason) == (PermanentError, Reason.MISSING)


async def test_list_crosses_pages(client: KubernetesClient, cluster: Cluster, namespace: str) -> None:
    """More objects than one page holds, of a kind that costs nothing."""
    names = {f"map-{number:03}" for number in range(PAGE_ITEMS + 3)}
    labels = {"of": "us"}
    manifests = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": labels}}
        for name in sorted(names)
    ]
    await asyncio.to_thread(cluster.apply, manifests)
    path = resource_path("v1", "configmaps", namespace=namespace)
    found = await client.list(path, label_selector="of=us", timeout_seconds=GENEROUS_SECONDS)
    assert {item["metadata"]["name"] for item in found} == names
    one = await client.list(path, field_selector="metadata.name=map-001", timeout_seconds=GENEROUS_SECONDS)
    assert [item["metadata"]["name"] for item in one] == ["map-001"]


async def test_account_without_rights_is_permission(cluster: Cluster, namespace: str) -> None:
    kubeconfig = await asyncio.to_thread(cluster.kubeconfig_for, namespace, "default")
    async with KubernetesClient.opened(kubeconfig) as client:
        error = await failure_of(client.list(pods_path(namespace), timeout_seconds=GENEROUS_SECONDS))
    assert (type(error), error.reason) == (PermanentError, Reason.PERMISSION)


async def test_unknown_token_is_auth(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    kubeconfig = await asyncio.to_thread(cluster.kubeconfig_for, namespace, "default")
    text = kubeconfig.read_text(encoding="utf-8")
    forged = tmp_path / "kubeconfig"
    forged.write_text("\n".join(_forged(line) for line in text.splitlines()), encoding="utf-8")
    async with KubernetesClient.opened(forged) as client:
        error = await failure_of(client.list(pods_path(namespace), timeout_seconds=GENEROUS_SECONDS))
    assert (type(error), error.reason) == (PermanentError, Reason.AUTH)
    assert "forged" not in str(error)


def _forged(line: str) -> str:
    before, token, _ = line.partition("token: ")
    return f"{before}{token}forged" if token else line


@contextmanager
def frozen(cluster: StartedCluster) -> Iterator[None]:
    cluster.api.freeze()
    try:
        yield
    finally:
        cluster.api.thaw()


async def test_frozen_api_costs_the_deadline_and_works_after_thaw(cluster: Cluster, client: KubernetesClient) -> None:
    assert isinstance(cluster, StartedCluster), "an existing cluster cannot be frozen"
    path = namespace_path("default")
    await client.get(path, timeout_seconds=GENEROUS_SECONDS)
    spent = []
    with frozen(cluster):
        for _ in range(3):
            started = time.monotonic()
            error = await failure_of(client.get(path, timeout_seconds=DEADLINE_SECONDS))
            spent.append(time.monotonic() - started)
            assert (type(error), error.reason) == (TransientError, Reason.TIMEOUT)
    assert min(spent) <= DEADLINE_SECONDS + scaled(0.1)
    assert (await client.get(path, timeout_seconds=GENEROUS_SECONDS))["metadata"]["name"] == "default"
