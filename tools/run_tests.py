"""Runs all tests with the workers that this machine can feed; the last line printed is pytest's own count.

Tests that share a Kubernetes control plane form a group and so run in one worker: the tests of the whole remediator on
a separate stage, and all others. These groups, the guide's alerts and the demo, which mostly wait, begin first
(tests/conftest.py).
"""

from __future__ import annotations

import os
import sys

WORKERS = 3
"""Two mostly wait for the guide's windows and the control planes, one computes; two cores feed no more."""


def main() -> None:
    """Becomes pytest, with this program's arguments appended."""
    arguments = ["-n", str(WORKERS), "--dist", "loadgroup", "--durations", "15", "-q", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
