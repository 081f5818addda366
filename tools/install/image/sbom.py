"""Writes the SBOM of an image (CycloneDX, JSON) with syft, which is built from its Go module once."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tools.install import quiet
from tools.install.build import build_programs, find_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tools.install.image.archive import Archive

NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""RFC 9562's namespace for object identifiers."""


def write_sbom(archive: Archive, name: str, version: str, epoch: int, report: Callable[[str], None]) -> Path:
    """Scans the archive; returns the document beside it. ToolError or quiet.CommandError says what failed.

    Serial number and time follow from the image, so that one image has one SBOM.
    """
    syft = build_programs([find_program("syft")], report)["syft"]
    path = archive.path.with_suffix(".cdx.json")
    command = [str(syft), "scan", f"docker-archive:{archive.path}", "--source-name", name, "--source-version", version]
    quiet.run([*command, "--output", f"cyclonedx-json={path}"], {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"})
    document = json.loads(path.read_text(encoding="utf-8"))
    document["serialNumber"] = uuid.uuid5(NAMESPACE, archive.digest).urn
    document["metadata"]["timestamp"] = datetime.fromtimestamp(epoch, UTC).isoformat()
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path
