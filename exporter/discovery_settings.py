"""Where bouncers are looked for, besides the configured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from chassis.config import Section


class KubernetesDiscovery(Section):
    """Bouncers by label, in the namespace of `kubernetes`."""

    kind: Literal["pods", "services"] = "pods"
    """Pods are asked one by one; a Service is one bouncer, whichever of its pods answers."""
    selector: str = "app=controlcore-bouncer"
    """Label selector."""
    port: int = Field(default=8080, ge=1, le=65535)
    """Port of the bouncer's own API."""
    scheme: Literal["http", "https"] = "http"
    name_label: str = "bouncer"
    """Label that holds the product's bouncer_id; without it the object's name is the bouncer's."""
    environment_label: str = "environment"
    """Label that is `sandbox` or `production`; anything else counts as production."""


class BouncerDiscovery(Section):
    """Discovered bouncers are added to the configured ones; a configured name wins."""

    files: tuple[Path, ...] = ()
    """Files of Prometheus' file_sd format (JSON or YAML). Labels: bouncer, policy_environment, __scheme__."""
    kubernetes: KubernetesDiscovery | None = None
    refresh_seconds: float = Field(default=30.0, ge=1)
    """How often is looked. A change restarts the collectors, so much less than this only adds unrest."""
    max_bouncers: int = Field(default=1000, ge=1)
    """Discovered bouncers that are watched; further ones are left out and the log says how many."""
