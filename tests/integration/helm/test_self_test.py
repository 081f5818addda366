"""The self-test's results with admission policies on a real API server: the chart's, and others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from chassis.kubernetes.client import KubernetesClient
from remediations.core.model.alert import Target
from remediations.core.model.facts import Fact
from remediations.execution.self_test import UNLISTED_NAME, changes_of, prove
from tests.fakes.decisions import a_policy_set, restart_policy
from tools.chart import REMEDIATOR, Manifest, render
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.servers.kubernetes.cluster import Cluster

VALUES = {"exporter": {"enabled": False}, "remediator": {"tokenSecret": {"name": "webhook"}}}
ADMISSION = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
LISTED = "control-plane-api"
GENEROUS_SECONDS = scaled(10.0)
FORCE_SECONDS = 30.0
"""So long an admission policy may take to come into force."""
PATCHES = {
    "patch of another Deployment",
    "scaling of another Deployment",
    "patch of another HorizontalPodAutoscaler",
}
RULES = [
    {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["patch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["patch"]},
]
"""A Role that names no objects."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def wide(cluster: Cluster, namespace: str) -> str:
    """A namespace whose remediator may patch whatever it likes, and where the objects that it must not touch exist."""
    group, account = "rbac.authorization.k8s.io", {"kind": "ServiceAccount", "name": REMEDIATOR}
    metadata = {"name": REMEDIATOR, "namespace": namespace}
    version = {"apiVersion": f"{group}/v1", "metadata": metadata}
    role = {"apiGroup": group, "kind": "Role", "name": REMEDIATOR}
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            version | {"kind": "Role", "rules": RULES},
            version | {"kind": "RoleBinding", "roleRef": role, "subjects": [account | {"namespace": namespace}]},
            _deployment(namespace),
            _autoscaler(namespace),
        ]
    )
    return namespace


@pytest.fixture
def policies(cluster: Cluster) -> Iterator[list[Manifest]]:
    """Objects applied by the test; they are removed with it, because they affect the whole cluster."""
    applied: list[Manifest] = []
    yield applied
    for item in applied:
        cluster.client.delete(cluster.client.path_of(item))


def asked(cluster: Cluster, namespace: str) -> Fact[bool]:
    """The self-test's result for the namespace."""

    async def ask() -> Fact[bool]:
        policy_set = a_policy_set(restart_policy(targets=(Target(namespace, "Deployment", LISTED),)))
        async with KubernetesClient.opened(cluster.kubeconfig_for(namespace, REMEDIATOR)) as client:
            return await prove(client, changes_of(policy_set, namespace), GENEROUS_SECONDS)

    return asyncio.run(ask())


def wait_asked(cluster: Cluster, namespace: str, expected: bool | None) -> Fact[bool]:  # noqa: FBT001
    """The same, once its value is the expected one: a binding takes a moment."""
    deadline = time.monotonic() + scaled(FORCE_SECONDS)
    while (fact := asked(cluster, namespace)).value is not expected:
        assert time.monotonic() < deadline, fact
        time.sleep(0.2)
    return fact


def let_through(fact: Fact[bool]) -> set[str]:
    """The changes that were not refused."""
    return set(fact.problem.removeprefix("the API server does not refuse ").split(", "))


def test_the_charts_policy_does_not_stand_in_for_a_role(cluster: Cluster, wide: str, policies: list[Manifest]) -> None:
    """It says how objects may be changed, which the least change obeys everywhere; scaling alone is by name."""
    assert let_through(asked(cluster, wide)) == PATCHES
    policies += [item for item in render(VALUES, "controlcore", wide) if item["kind"] in ADMISSION]
    cluster.apply(policies)
    deadline = time.monotonic() + scaled(FORCE_SECONDS)
    while let_through(fact := asked(cluster, wide)) == PATCHES:
        assert time.monotonic() < deadline, fact
        time.sleep(0.2)
    assert let_through(fact) == PATCHES - {"scaling of another Deployment"}


@pytest.mark.parametrize("reason", [None, "Invalid", "Forbidden", "RequestEntityTooLarge"])
def test_policy_that_names_the_objects_is_a_proof_whatever_its_answer(
    cluster: Cluster, wide: str, policies: list[Manifest], reason: str | None
) -> None:
    policies += _naming_policy(wide, f'object.metadata.name == "{LISTED}"', reason)
    cluster.apply(policies)
    wait_asked(cluster, wide, expected=True)


def test_admission_limits_nothing_that_it_is_not_asked_about(
    cluster: Cluster, wide: str, policies: list[Manifest]
) -> None:
    """The server finds the object first, and then compares its uid."""
    policies += _naming_policy(wide, "false", None)
    cluster.apply(policies)
    wait_asked(cluster, wide, expected=True)
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{wide}/roles/{REMEDIATOR}"
    deleting = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["delete"]}
    cluster.client.patch(role, {"rules": [*RULES, deleting]})
    assert let_through(wait_asked(cluster, wide, expected=False)) == {"deletion of a Deployment"}
    cluster.client.patch(role, {"rules": RULES})
    wait_asked(cluster, wide, expected=True)
    cluster.client.delete(f"/apis/apps/v1/namespaces/{wide}/deployments/{UNLISTED_NAME}")
    found = let_through(wait_asked(cluster, wide, expected=False))
    assert found == {"patch of another Deployment", "scaling of another Deployment"}


def test_policy_that_cannot_judge_proves_nothing(cluster: Cluster, wide: str, policies: list[Manifest]) -> None:
    """It refuses as long as it is broken, and what it would have refused is not known."""
    policies += _naming_policy(wide, 'object.metadata.annotations["absent"] == "x"', None)
    cluster.apply(policies)
    fact = wait_asked(cluster, wide, expected=None)
    assert "resulted in error" in fact.problem


def _naming_policy(namespace: str, expression: str, reason: str | None) -> list[Manifest]:
    """An admission policy of the cluster's own for the ServiceAccount, and its binding."""
    version, metadata = "admissionregistration.k8s.io/v1", {"name": f"naming.{namespace}"}
    user = f"system:serviceaccount:{namespace}:{REMEDIATOR}"
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["UPDATE", "DELETE"]}
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [everything]},
        "matchConditions": [{"name": "by-the-remediator", "expression": f'request.userInfo.username == "{user}"'}],
        "validations": [{"expression": expression} | ({} if reason is None else {"reason": reason})],
    }
    binding = {"policyName": metadata["name"], "validationActions": ["Deny"]}
    return [
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec},
        {"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": binding},
    ]


def _deployment(namespace: str) -> Manifest:
    labels = {"app": UNLISTED_NAME}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "none", "image": "none"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": UNLISTED_NAME, "namespace": namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def _autoscaler(namespace: str) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": UNLISTED_NAME}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": UNLISTED_NAME, "namespace": namespace},
        "spec": {"scaleTargetRef": target, "maxReplicas": 2},
    }
