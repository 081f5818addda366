"""What the image is built from: version, commit and its time, and whether the tree differs from the commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAME = "controlcore-sidecar"
IMAGES = ROOT / "build" / "image"
"""Where `make image` writes the archive and its SBOM."""


class SourceError(RuntimeError):
    """The time of the image is unknown; the message says how to set it."""


@dataclass(frozen=True, slots=True)
class Source:
    """`revision` is empty outside of a checkout, and ends with -dirty when files differ from the commit."""

    version: str
    revision: str
    epoch: int


def read_source(root: Path = ROOT) -> Source:
    """Reads it from pyproject.toml, git and SOURCE_DATE_EPOCH, which wins over the commit's time."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    revision, epoch = _git(root, "rev-parse", "HEAD"), _git(root, "log", "-1", "--format=%ct")
    if revision and _git(root, "status", "--porcelain", "--", *_seen_by_the_build(root)):
        revision += "-dirty"
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or epoch
    if not epoch.isdecimal():
        wrong = f"SOURCE_DATE_EPOCH is {epoch!r}" if epoch else "this is no git checkout"
        raise SourceError(f"{wrong}: set SOURCE_DATE_EPOCH to the release's time, in seconds since 1970")
    return Source(project["version"], revision, int(epoch))


def _seen_by_the_build(root: Path) -> list[str]:
    """The files and folders of the build's context, by .dockerignore, and what decides it."""
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return ["Dockerfile", ".dockerignore", *(line.removeprefix("!") for line in lines if line.startswith("!"))]


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty without git or without a checkout."""
    if shutil.which("git") is None:
        return ""
    answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def find_sboms(folder: Path, version: str) -> list[Path]:
    """The SBOMs that `make image` wrote for this version, one for each platform."""
    return sorted(folder.glob(f"{NAME}-{version}-*.cdx.json"))
