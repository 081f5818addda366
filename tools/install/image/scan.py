"""`make scan`: known vulnerabilities of the packages in the built image, by its SBOM; needs the standard library alone.

grype loads its database from its maker. It lists vulnerabilities that a newer version repairs; one that is high or
critical ends it with status 1. A newer base or a newer lock removes it. Those without a fix are not listed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tools.install.build import locate
from tools.install.compiler import ToolError
from tools.install.image.source import IMAGES, SourceError, find_sboms, read_source

if TYPE_CHECKING:
    from pathlib import Path

ENDS_AT = "high"


def make_command(grype: Path, sbom: Path) -> list[str]:
    """Its exit status says whether a vulnerability of that severity, or a worse one, has a fix."""
    return [str(grype), f"sbom:{sbom}", "--fail-on", ENDS_AT, "--only-fixed", "--output", "table"]


def main() -> int:
    """Scans every SBOM; returns 1 for a finding, a missing image or a failure of grype."""
    try:
        sboms = find_sboms(IMAGES, read_source().version)
        if not sboms:
            print("tools.install.image.scan: there is no SBOM of this version: run `make image` first", file=sys.stderr)
            return 1
        grype = locate("grype")
    except (SourceError, ToolError) as error:
        print(f"tools.install.image.scan: {error}", file=sys.stderr)
        return 1
    environment = {**os.environ, "GRYPE_CHECK_FOR_APP_UPDATE": "false"}
    return max(int(subprocess.call(make_command(grype, sbom), env=environment) != 0) for sbom in sboms)


if __name__ == "__main__":
    raise SystemExit(main())
