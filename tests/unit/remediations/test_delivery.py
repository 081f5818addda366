"""Who writes an object again and again, as its metadata tells it."""

from __future__ import annotations

import pytest

from remediations.delivery import find_delivery, read_managers


def entry(manager: str, *fields: str) -> dict:
    return {"manager": manager, "fieldsV1": {"f:spec": {f"f:{name}": {} for name in fields}}}


def test_managers_of_a_field_are_those_that_wrote_it_and_are_no_follower():
    entries = [
        entry("argocd-controller", "replicas", "template"),
        entry("kubectl", "template"),
        entry("kube-controller-manager", "replicas"),
        {"manager": "kubelet", "fieldsV1": {"f:status": {}}},
        {"manager": "odd"},
        {"fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    document = {"metadata": {"managedFields": entries}}
    assert read_managers(document, "replicas") == ("argocd-controller", "somebody")
    assert read_managers({"metadata": {}}, "replicas") == ()


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({}, ""),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "app:apps/Deployment:ns/api"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "app"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "app"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "app", "app.kubernetes.io/managed-by": "Helm"}}, "Flux"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"labels": {"app.kubernetes.io/managed-by": "somebody"}, "annotations": None}, ""),
    ],
)
def test_delivery_tool_is_known_by_its_label(metadata, tool):
    assert find_delivery(metadata) == tool
