"""Says what this machine lacks before anything is installed, built or started. Needs the standard library alone.

`python3 -m tools.install.preflight venv|act|demo|image|test`. It runs on Python 3.7 and newer, in order to
refuse the older.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from pathlib import Path

from tools.install.cache import cache_folder

LEAST_PYTHON = (3, 11)
LEAST_GIGABYTES = 1
GIGABYTES = {"venv": LEAST_GIGABYTES, "act": LEAST_GIGABYTES, "demo": 7, "image": 4, "test": 11}
"""Free space for each purpose while nothing is built: packages, Go's caches, the built programs."""


def find_faults(purpose: str) -> list[str]:
    """What makes this purpose impossible here, each with what to do."""
    if sys.version_info < LEAST_PYTHON:
        this = f"{sys.executable} is {platform.python_version()}"
        return [f"Python 3.11 or newer is needed, {this}: name another one, for example make PYTHON=python3.12"]
    faults = []
    if purpose != "image" and importlib.util.find_spec("ensurepip") is None:
        faults.append("this Python makes no virtual environment: install venv (Debian: apt-get install python3-venv)")
    free = shutil.disk_usage(Path.home()).free / 1e9
    needed = LEAST_GIGABYTES if any(cache_folder().glob("*/*")) else GIGABYTES[purpose]
    if free < needed:
        faults.append(f"{needed} GB of free space are needed in {Path.home()}, there are {free:.1f}")
    if purpose not in {"venv", "image"}:
        faults += _find_missing_programs(purpose)
    return faults


def _find_missing_programs(purpose: str) -> list[str]:
    # Not above: an older Python cannot read that module.
    from tools.install import packages  # noqa: PLC0415

    if platform.system() != "Linux":
        return [f"the test servers run on Linux alone, this is {platform.system()}: `make unit` needs none of them"]
    wanted = packages.PACKAGES if purpose == "test" else packages.DEMO
    return packages.find_obstacles(packages.find_missing(wanted))


def main() -> int:
    """Prints every fault at once; the exit status is 1 if there is one."""
    faults = find_faults(sys.argv[1])
    for fault in faults:
        print("make: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
