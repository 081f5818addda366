"""Runs all tests with the workers that this machine can feed; the last line printed is pytest's own count.

Tests that share the one Kubernetes control plane form a group and so run in one worker, and the guide's alerts, which
mostly wait for their printed windows, have a worker of their own beside it.
"""

from __future__ import annotations

import os
import sys

WORKERS = 3
"""One for the guide's long windows, which mostly wait, and one for each of two cores."""


def main() -> None:
    """Becomes pytest, with this program's arguments appended."""
    arguments = ["-n", str(WORKERS), "--dist", "loadgroup", "--durations", "15", "-q", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
