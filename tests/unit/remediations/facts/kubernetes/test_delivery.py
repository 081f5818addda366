"""The tools that write an object repeatedly, from its metadata."""

from __future__ import annotations

import pytest

from remediations.facts.kubernetes.pod_template import find_controllers, find_delivery, read_managers, read_scalers


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


@pytest.mark.parametrize("name", ["kube-controller-manager", "k3s", "kubelite", "whatever-comes-next"])
def test_number_that_was_set_through_scale_is_delivered_by_nobody(name):
    """R13: left by an autoscaler that is gone, under whatever name the controllers write."""
    document = {"metadata": {"managedFields": [entry(name, "replicas") | {"subresource": "scale"}]}}
    assert read_managers(document, "replicas") == ()
    assert read_scalers(document, "replicas") == (name,)


def test_controllers_are_known_by_the_status_that_they_write():
    """R13: the same program writes the number of the revision into the annotations."""
    status = {"subresource": "status", "fieldsV1": {"f:status": {"f:observedGeneration": {}}}}
    other = {"subresource": "status", "fieldsV1": {"f:status": {"f:conditions": {}}}}
    entries = [{"manager": "k3s", **status}, {"manager": "kubectl-edit", **other}, entry("helm", "replicas")]
    document = {"metadata": {"managedFields": entries}}
    assert find_controllers(document) == {"k3s"}
    assert read_managers(document, "replicas") == ("helm",)


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
