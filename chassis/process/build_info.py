"""Version and build information of both programs, and the page of a registry."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def version() -> str:
    """The installed distribution's version, or `0.0.0+source` when run from a checkout."""
    try:
        return metadata.version("controlcore-sidecar")
    except metadata.PackageNotFoundError:
        return "0.0.0+source"


def version_line(program: str) -> str:
    """What `--version` prints, for both programs alike."""
    return f"{program}, version {version()} (Python {platform.python_version()})"


def build_info(registry: CollectorRegistry, name: str) -> None:
    """Registers the gauge `name` = 1 with labels version and python_version."""
    from prometheus_client import Gauge  # noqa: PLC0415 - `--version` does without

    gauge = Gauge(
        name, "Always 1; the labels name the running build.", ("version", "python_version"), registry=registry
    )
    gauge.labels(version(), platform.python_version()).set(1)


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The registry in the format of the Accept header, and its content type."""
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
