"""The kind ScaledObject on a real API server, without anybody who follows it."""

from __future__ import annotations

from typing import Any

from tests.system.stage import NAME, Stage
from tools.servers.kubernetes.cluster import Cluster

KIND_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"
KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"plural": "scaledobjects", "singular": "scaledobject", "kind": "ScaledObject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def install(cluster: Cluster) -> None:
    """Returns once objects of the kind can be stored."""
    cluster.apply([KIND])
    cluster.wait_for(KIND_PATH, _is_established)


def remove(cluster: Cluster) -> None:
    """Removes the kind with all its objects."""
    cluster.client.delete(KIND_PATH)
    cluster.client.wait_gone(KIND_PATH)


def path_of(stage: Stage) -> str:
    """The API path of the stage's ScaledObject."""
    return f"/apis/keda.sh/v1alpha1/namespaces/{stage.namespace}/scaledobjects/{NAME}"


def scaled_object(stage: Stage) -> dict[str, Any]:
    """A ScaledObject named like its Deployment, as the chart supposes; KEDA says that it follows it."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": NAME, "namespace": stage.namespace},
        "spec": {"scaleTargetRef": {"name": NAME}, "minReplicaCount": 1, "maxReplicaCount": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def _is_established(found: dict[str, Any]) -> bool:
    conditions = found.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
