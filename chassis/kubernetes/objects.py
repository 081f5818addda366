"""What a pod (core/v1) says of its own end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OVER = frozenset({"Succeeded", "Failed"})
"""Phases after which no container of a pod runs again (Kubernetes, "Pod Lifecycle"); an evicted pod is Failed."""


def is_over(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has run to its end: the API lists it until it is garbage-collected, and it serves no requests."""
    return (pod.get("status") or {}).get("phase") in OVER


def is_ending(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is on its way out; on a node that is dead it stays so until the node is removed."""
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))
