"""The two generations of Prometheus and Alertmanager that users run: Debian 12's and the pinned new one."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from tools.install import build, packages

if TYPE_CHECKING:
    from pathlib import Path


class Generation(enum.Enum):
    """Which build of a program to run."""

    # Debian 12's packages: Prometheus and promtool 2.42, Alertmanager and amtool 0.25.
    DEBIAN = "debian"
    # Built here: Prometheus and promtool 3.16, Alertmanager and amtool 0.31.
    PINNED = "pinned"

    def locate(self, program: str) -> Path:
        """The path of prometheus, promtool, alertmanager or amtool in this generation."""
        if self is Generation.PINNED:
            return build.locate(program)
        return packages.locate(program)
