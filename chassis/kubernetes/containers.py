"""Containers of a pod template (core/v1 PodTemplateSpec) and the images that they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def containers_of(template: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All containers, init containers first."""
    spec = template["spec"]
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def has_digest(image: str) -> bool:
    """Whether an image reference always means the same content."""
    return DIGEST.search(image) is not None


def is_latest(image: str) -> bool:
    """Whether an image reference has neither a digest nor a tag other than `latest` (Kubernetes, "Images")."""
    return image.rpartition("/")[2].partition(":")[2] in {"", "latest"}
