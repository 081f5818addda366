"""A sidecar with a faulty configuration still serves and reports it, because it must never harm its pod.

A sidecar that exits restarts for ever, and on older Kubernetes its pod is then not Ready: a typing error in the
monitoring would take the product down.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chassis.config import read_yaml
from chassis.errors import ConfigError
from exporter.collector import CollectorSpec
from exporter.commands.configuration import settings_type
from exporter.settings import PREFIX, ExporterSettings

POD = "pod"
PLACE = ("host", "port", "web_config_file")


def bare_settings(
    specs: tuple[CollectorSpec, ...], path: Path | None, overrides: Mapping[str, Any]
) -> ExporterSettings | None:
    """Settings that only serve, at the configured address if that can be read; None when this is not a sidecar."""
    file = _read(path)
    scope = overrides.get("scope") or os.environ.get(f"{PREFIX}SCOPE") or file.get("scope")
    if scope != POD:
        return None
    kind = settings_type(specs)
    nothing: dict[str, Any] = {"scope": POD, "collectors": {spec.name: {"enabled": False} for spec in specs}}
    found = file.get("server")
    server = {name: value for name, value in found.items() if name in PLACE} if isinstance(found, dict) else {}
    for name in PLACE:
        value = os.environ.get(f"{PREFIX}SERVER__{name.upper()}")
        server |= {name: value} if value is not None else {}
    try:
        return kind(**nothing, server=server | dict(overrides.get("server", {})))
    except ValidationError:
        return kind(**nothing)


def _read(path: Path | None) -> dict[str, Any]:
    """The file as far as it can be read."""
    try:
        return {} if path is None else read_yaml(path)
    except ConfigError:
        return {}
