"""Reads from an object's metadata who writes it again and again: field managers, and tools that deliver it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FOLLOWER = "kube-controller-manager"
"""Writes what an autoscaler decided; where there is no autoscaler any more it writes nothing."""
SCALE = "scale"
"""The subresource by which autoscalers, and people with `kubectl scale`, set a number once; nobody delivers by it."""
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


def find_controllers(document: Mapping[str, Any]) -> frozenset[str]:
    """The field managers under which the cluster's own controllers write: who sets status.observedGeneration.

    The name is that of the program which runs them: kube-controller-manager, k3s, kubelite and others.
    """
    return frozenset(
        str(entry.get("manager", ""))
        for entry in document["metadata"].get("managedFields") or ()
        if entry.get("subresource") == "status"
        and "f:observedGeneration" in ((entry.get("fieldsV1") or {}).get("f:status") or {})
    )


def read_managers(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The field managers that own a field of the specification as part of the whole object (metadata.managedFields).

    What was written through /scale is left out: an autoscaler that is gone delivers no number again.
    """
    entries = _owners(document, field)
    found = {str(entry.get("manager", "somebody")) for entry in entries if entry.get("subresource") != SCALE}
    return tuple(sorted(found - {FOLLOWER} - find_controllers(document)))


def read_scalers(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The field managers that own a field of the specification by a write through /scale."""
    entries = [entry for entry in _owners(document, field) if entry.get("subresource") == SCALE]
    return tuple(sorted({str(entry.get("manager", "somebody")) for entry in entries}))


def _owners(document: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The entries of metadata.managedFields that name the field."""
    entries = document["metadata"].get("managedFields") or ()
    return [entry for entry in entries if f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})]
