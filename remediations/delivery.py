"""Reads from an object's metadata who writes it again and again: field managers, and tools that deliver it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FOLLOWER = "kube-controller-manager"
"""Writes what an autoscaler decided; where there is no autoscaler any more it writes nothing."""
MARKS = (
    ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
    ("labels", "argocd.argoproj.io/instance", "Argo CD"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
)
"""Labels and annotations by which a delivery tool knows its objects."""
MANAGED_BY = "app.kubernetes.io/managed-by"
HELM = "Helm"


def find_delivery(metadata: Mapping[str, Any]) -> str:
    """The tool that delivers the object, or empty."""
    for place, name, tool in MARKS:
        if (metadata.get(place) or {}).get(name):
            return tool
    return HELM if (metadata.get("labels") or {}).get(MANAGED_BY) == HELM else ""


def read_managers(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The field managers that own a field of the specification, by name (metadata.managedFields)."""
    found = {
        str(entry.get("manager", "somebody"))
        for entry in document["metadata"].get("managedFields") or ()
        if f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return tuple(sorted(found - {FOLLOWER}))
