"""The names, ports, namespaces and labels of the product's usual deployments. No I/O.

A preset only fills in what is not configured. It contains no password, and the database's user is the exporter's own
role, whose rights `controlcore-exporter grants` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READER = "cc_exporter"
DATABASE = "control_core_db"


def _labels(*names: str) -> dict[str, str]:
    """Selectors by the label `app`."""
    return {name: f"app={name}" for name in names}


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "devops-guide": {
        "api": {"url": "http://control-plane-api.controlcore.svc:8000"},
        "database": {
            "url": f"postgresql://{READER}@postgresql.controlcore.svc:5432/{DATABASE}",
            "role": "postgres",
        },
        "redis": {"url": "redis://redis.controlcore.svc:6379/0"},
        "kubernetes": {
            "namespace": "controlcore",
            "workloads": ("control-plane-api", "control-plane-ui"),
            "labels": _labels("control-plane-api", "control-plane-ui", "postgresql", "redis"),
        },
    },
    "enterprise-guide": {
        "api": {"url": "http://controlcore-api.control-core.svc:8082"},
        "database": {"role": "controlcore"},
        "kubernetes": {
            "namespace": "control-core",
            "workloads": ("controlcore-api", "controlcore-bouncer", "controlcore-opal"),
            "labels": _labels("controlcore-api", "controlcore-bouncer", "controlcore-opal"),
        },
        "bouncer_discovery": {"kubernetes": {"kind": "pods", "selector": "app=controlcore-bouncer", "port": 8080}},
    },
    "snapshot-chart": {
        "api": {"url": "http://cc-pap:8082"},
        "database": {"url": f"postgresql://{READER}@cc-db:5432/{DATABASE}"},
        "kubernetes": {
            "workloads": (
                "cc-policy-admin-api",
                "cc-bouncer-default",
                "cc-opal",
                "cc-policy-admin-server",
                "cc-policy-admin-client",
                "cc-db",
                "cc-frontend",
            ),
            "labels": {"cc-policy-admin-api": "app=cc-policy-admin-api,stack=controlcore-stack"},
        },
        "bouncers": ({"name": "cc-bouncer-default", "url": "http://cc-bouncer-default:8080"},),
    },
    "compose": {
        "api": {"url": "http://cc-pap-api:8000"},
        "database": {"url": f"postgresql://{READER}@cc-db:5432/{DATABASE}"},
        "redis": {"url": "redis://cc-redis:6379/0"},
    },
}
"""The enterprise guide's database and Redis are managed services, and the snapshot's chart has no Redis: their
addresses always differ and must be configured.
"""

LOCAL_API_PORTS = {"devops-guide": 8000, "enterprise-guide": 8082, "snapshot-chart": 8000, "compose": 8000}
"""Where the API listens inside its own pod or container, for a sidecar. The snapshot's Service says 8082, its program
listens on 8000."""


def preset_values(name: str, *, is_sidecar: bool, has_kubernetes: bool) -> dict[str, Any]:
    """A preset's settings; empty for an unknown name, which the settings then refuse.

    A sidecar queries the API of its own pod. Without Kubernetes, no Kubernetes setting is set.
    """
    values = dict(PRESETS.get(name, {}))
    if values and is_sidecar:
        values["api"] = {"url": f"http://127.0.0.1:{LOCAL_API_PORTS[name]}"}
    if not has_kubernetes:
        values.pop("kubernetes", None)
        values.pop("bouncer_discovery", None)
    return values
