"""Resolves the dependencies again into tools/lock: pinned versions with hashes, no addresses.

`dev.txt` is everything (tests and tools included); `runtime.txt` is what the image needs and `build.txt` what builds
the wheel, both constrained to the same versions. pip-tools does the resolving, in a throw-away environment. The files
are installed with `--no-deps`: each is the whole list, and pip would otherwise take a dependency with an extra
(`coverage[toml]>=7`) from the index of the day, find no hash for it, and fail.
"""

from __future__ import annotations

import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMON = (
    "--quiet",
    "--generate-hashes",
    "--strip-extras",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
)


def compile_lock(python: Path, name: str, *options: str) -> None:
    """Writes tools/lock/NAME from pyproject.toml."""
    command = [
        str(python),
        "-m",
        "piptools",
        "compile",
        *COMMON,
        *options,
        "-o",
        f"tools/lock/{name}",
        "pyproject.toml",
    ]
    print(f"resolving tools/lock/{name}", flush=True)
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> None:
    """Resolves the three files; exits with pip-tools' status when it fails."""
    with tempfile.TemporaryDirectory(prefix="controlcore-lock-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "pip-tools"], check=True)
        compile_lock(python, "dev.txt", "--allow-unsafe", "--extra", "dev")
        compile_lock(python, "runtime.txt", "--constraint", "tools/lock/dev.txt")
        only_build = ("--only-build-deps", "--build-deps-for", "wheel")
        compile_lock(python, "build.txt", *only_build, "--constraint", "tools/lock/dev.txt")


if __name__ == "__main__":
    main()
