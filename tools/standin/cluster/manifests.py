"""The Kubernetes objects of the stand-in, with the DevOps guide's names, sizes and autoscaler."""

from __future__ import annotations

from dataclasses import dataclass

from tools.standin.cluster.components import API, BOUNCER_PRODUCTION, BOUNCER_SANDBOX, COMPONENTS, Component

VERSION = "2025.10.31"
SECRET_NAME = "control-plane-api"  # noqa: S105 (an object's name)
MINIMUM_READY_SECONDS = 1

Manifest = dict[str, object]


@dataclass(frozen=True, slots=True)
class Shape:
    """Settings that differ between stand-ins.

    `cpu_millicores` is the API's request and limit: small, because a cpu fault really burns it in every replica.
    `is_dropping_tables` sets CC_DROP_TABLES=true, and then each start of the API really drops every table.
    """

    namespace: str = "controlcore"
    replicas: int = API.replicas
    cpu_millicores: int = 50
    hpa_minimum: int = 3
    hpa_maximum: int = 10
    hpa_cpu_percent: int = 70
    is_dropping_tables: bool = False
    has_autoscaler: bool = True


def build_manifests(shape: Shape) -> list[Manifest]:
    """Return every object, the namespace first; apply them in this order."""
    manifests = [_namespace(shape), _secret(shape)]
    for component in COMPONENTS.values():
        manifests += [_deployment(component, shape), _service(component, shape)]
    manifests += [_budget(API, {"minAvailable": 2}, shape)]
    manifests += [_budget(each, {"maxUnavailable": 1}, shape) for each in (BOUNCER_SANDBOX, BOUNCER_PRODUCTION)]
    return [*manifests, _autoscaler(shape)] if shape.has_autoscaler else manifests


def _metadata(name: str, shape: Shape) -> Manifest:
    return {"name": name, "namespace": shape.namespace, "labels": {"app": name}}


def _namespace(shape: Shape) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shape.namespace}}


def _secret(shape: Shape) -> Manifest:
    """Return the API's Secret, with made-up values."""
    values = {
        "database-url": "postgresql://postgres:stand-in@postgresql:5432/control_core_db",
        "redis-url": "redis://redis:6379/0",
        "credential-encryption-key": "stand-in-credential-key",
        "pip-encryption-key": "stand-in-pip-key",
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _metadata(SECRET_NAME, shape), "stringData": values}


def _environment(component: Component, shape: Shape) -> list[Manifest]:
    if component.module == "bouncer":
        environment = component.name.removeprefix("bouncer-")
        return [
            {"name": "BOUNCER_ID", "value": component.name},
            {"name": "ENVIRONMENT", "value": environment},
            {"name": "PAP_API_URL", "value": f"http://{API.name}:{API.port}"},
            {"name": "OPAL_SERVER_URL", "value": "http://opal-server:7002"},
        ]
    if component.module == "opal":
        return [{"name": "OPAL_STATISTICS_ENABLED", "value": "false"}]
    names = ("DATABASE_URL", "REDIS_URL", "CREDENTIAL_ENCRYPTION_KEY", "PIP_ENCRYPTION_KEY")
    environment_from_secret: list[Manifest] = [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": SECRET_NAME, "key": name.lower().replace("_", "-")}},
        }
        for name in names
    ]
    dropping: list[Manifest] = [{"name": "CC_DROP_TABLES", "value": "true"}] if shape.is_dropping_tables else []
    return [{"name": "LOG_LEVEL", "value": "INFO"}, *environment_from_secret, *dropping]


def _container(component: Component, shape: Shape) -> Manifest:
    amounts = {"cpu": f"{shape.cpu_millicores}m", "memory": "256Mi"}
    probe = {"httpGet": {"path": component.probe_path, "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 1}
    return {
        "name": component.name,
        "image": f"controlcore/{component.name}:{VERSION}",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": component.port}],
        "env": _environment(component, shape),
        "resources": {"requests": amounts, "limits": amounts},
        "readinessProbe": {**probe, "failureThreshold": 2},
    }


def _deployment(component: Component, shape: Shape) -> Manifest:
    specification: Manifest = {
        "replicas": shape.replicas if component is API else component.replicas,
        "selector": {"matchLabels": {"app": component.name}},
        # A simulated pod is Ready for a moment before its process exists: that moment must not count as available.
        "minReadySeconds": MINIMUM_READY_SECONDS,
        "template": {
            "metadata": {"labels": {"app": component.name}},
            "spec": {"containers": [_container(component, shape)], "terminationGracePeriodSeconds": 1},
        },
    }
    metadata = _metadata(component.name, shape)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": specification}


def _service(component: Component, shape: Shape) -> Manifest:
    ports = [{"name": "http", "port": component.port, "targetPort": "http"}]
    specification = {"selector": {"app": component.name}, "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(component.name, shape),
        "spec": specification,
    }


def _budget(component: Component, limit: Manifest, shape: Shape) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(component.name, shape),
        "spec": {"selector": {"matchLabels": {"app": component.name}}, **limit},
    }


def _autoscaler(shape: Shape) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": shape.hpa_cpu_percent}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(API.name, shape),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": API.name},
            "minReplicas": shape.hpa_minimum,
            "maxReplicas": shape.hpa_maximum,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
