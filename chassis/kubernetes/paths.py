"""Builds paths of the Kubernetes API; a name cannot leave its segment."""

from __future__ import annotations

from urllib.parse import quote

from chassis.errors import PermanentError, Reason

MAX_NAME_LENGTH = 253
CORE = "v1"
APPS = "apps/v1"
AUTOSCALING = "autoscaling/v2"
POLICY = "policy/v1"
COORDINATION = "coordination.k8s.io/v1"
METRICS = "metrics.k8s.io/v1beta1"


def segment(name: str) -> str:
    """The name as one URL path segment; raises PermanentError(malformed) for an impossible object name."""
    is_plain = name.isascii() and name.isprintable() and not set(name) & set("/\\%?# ")
    if not is_plain or not 0 < len(name) <= MAX_NAME_LENGTH or name == "." or ".." in name:
        raise PermanentError(Reason.MALFORMED, f"not the name of a Kubernetes object: {name[:64]!r}")
    return quote(name, safe="")


def resource_path(
    group_version: str,
    plural: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    """The path of a collection, an object or its subresource; `v1` is the core group, no namespace is the cluster."""
    root = "/api" if "/" not in group_version else "/apis"
    parts = [root, *(segment(part) for part in group_version.split("/"))]
    if namespace is not None:
        parts += ["namespaces", segment(namespace)]
    parts += [segment(part) for part in (plural, name, subresource) if part is not None]
    return "/".join(parts)


def namespace_path(name: str) -> str:
    """One namespace."""
    return resource_path(CORE, "namespaces", name=name)


def pods_path(namespace: str) -> str:
    """The pods of a namespace."""
    return resource_path(CORE, "pods", namespace=namespace)


def pod_path(namespace: str, name: str) -> str:
    """One pod."""
    return resource_path(CORE, "pods", namespace=namespace, name=name)


def pod_log_path(namespace: str, name: str) -> str:
    """One pod's log; read it with `KubernetesClient.text`."""
    return resource_path(CORE, "pods", namespace=namespace, name=name, subresource="log")


def eviction_path(namespace: str, name: str) -> str:
    """Where an Eviction of one pod is created."""
    return resource_path(CORE, "pods", namespace=namespace, name=name, subresource="eviction")


def pod_metrics_path(namespace: str) -> str:
    """The pods' resource usage from the metrics server."""
    return resource_path(METRICS, "pods", namespace=namespace)


def events_path(namespace: str) -> str:
    """The Events of a namespace (core group)."""
    return resource_path(CORE, "events", namespace=namespace)


def source_path(kind: str, namespace: str, name: str) -> str:
    """One ConfigMap or Secret that a pod template names."""
    return resource_path(CORE, {"ConfigMap": "configmaps", "Secret": "secrets"}[kind], namespace=namespace, name=name)


def deployments_path(namespace: str) -> str:
    """The Deployments of a namespace."""
    return resource_path(APPS, "deployments", namespace=namespace)


def deployment_path(namespace: str, name: str) -> str:
    """One Deployment."""
    return resource_path(APPS, "deployments", namespace=namespace, name=name)


def deployment_scale_path(namespace: str, name: str) -> str:
    """One Deployment's scale."""
    return resource_path(APPS, "deployments", namespace=namespace, name=name, subresource="scale")


def replica_sets_path(namespace: str) -> str:
    """The ReplicaSets of a namespace."""
    return resource_path(APPS, "replicasets", namespace=namespace)


def stateful_set_path(namespace: str, name: str) -> str:
    """One StatefulSet."""
    return resource_path(APPS, "statefulsets", namespace=namespace, name=name)


def autoscalers_path(namespace: str) -> str:
    """The HorizontalPodAutoscalers of a namespace."""
    return resource_path(AUTOSCALING, "horizontalpodautoscalers", namespace=namespace)


def autoscaler_path(namespace: str, name: str) -> str:
    """One HorizontalPodAutoscaler."""
    return resource_path(AUTOSCALING, "horizontalpodautoscalers", namespace=namespace, name=name)


def disruption_budgets_path(namespace: str) -> str:
    """The PodDisruptionBudgets of a namespace."""
    return resource_path(POLICY, "poddisruptionbudgets", namespace=namespace)


def leases_path(namespace: str) -> str:
    """The Leases of a namespace."""
    return resource_path(COORDINATION, "leases", namespace=namespace)


def lease_path(namespace: str, name: str) -> str:
    """One Lease."""
    return resource_path(COORDINATION, "leases", namespace=namespace, name=name)
