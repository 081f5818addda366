"""`make dist`: writes what a release publishes beside the image into dist: wheel, chart, SBOM, checksums.

The SBOM is that of the image which `make image` built before; without one it is left out. `--tag v1.2.3` must be the
version of the wheel and of the chart.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from tools.install import quiet
from tools.install.build import locate
from tools.install.compiler import ToolError
from tools.install.image.source import IMAGES, ROOT, SourceError, find_sboms, read_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DIST = ROOT / "dist"
CHART = ROOT / "helm" / "controlcore-exporter"
SUMS = "SHA256SUMS"
SIGNATURE = ".sigstore.json"


class ReleaseError(RuntimeError):
    """What is there cannot be released; the message says what differs and what to do."""


def check_versions(version: str, chart: str, tag: str = "") -> None:
    """ReleaseError unless the chart's two versions and the tag are those of the wheel."""
    written = re.findall(r"^(version|appVersion): *(\S+)$", chart, re.MULTILINE)
    named = {f"Chart.yaml {name}": found for name, found in written}
    if tag:
        named["the tag"] = tag.removeprefix("v")
    different = [f"{name} is {found}" for name, found in named.items() if found != version]
    if different:
        raise ReleaseError(f"pyproject.toml has version {version}, but {', '.join(different)}: make them one version")


def write_sums(folder: Path) -> Path:
    """Writes SHA256SUMS of every other file of the folder, in the form that `sha256sum --check` reads."""
    path = folder / SUMS
    lines = [f"{_hash(each)}  {each.name}\n" for each in sorted(folder.iterdir()) if each.name != SUMS]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def check_sums(folder: Path) -> None:
    """ReleaseError when a file of the folder differs from SHA256SUMS, is missing, or is not in it."""
    path = folder / SUMS
    if not path.is_file():
        raise ReleaseError(f"{path} is missing: run `make dist`")
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {each.name: _hash(each) for each in folder.iterdir() if each.name not in {SUMS, SUMS + SIGNATURE}}
    wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if wrong:
        raise ReleaseError(f"{path} does not say what is in the folder: {', '.join(wrong)}; run `make dist` again")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_dist(tag: str = "") -> Path:
    """Writes the folder anew and returns SHA256SUMS; one commit gives one wheel."""
    source = read_source()
    check_versions(source.version, (CHART / "Chart.yaml").read_text(encoding="utf-8"), tag)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source.epoch)}
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(DIST)]
    quiet.run(build, environment)
    quiet.run([str(locate("helm")), "package", str(CHART), "--destination", str(DIST)], environment)
    for sbom in find_sboms(IMAGES, source.version):
        shutil.copy2(sbom, DIST)
    return write_sums(DIST)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes and lists the files; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools.install.release.dist", description="Write the files of a release.")
    parser.add_argument("--tag", default="", help="the tag of the release; another version than ours ends it")
    options = parser.parse_args(arguments)
    try:
        sums = write_dist(options.tag)
    except (ReleaseError, SourceError, ToolError, quiet.CommandError) as error:
        print(f"tools.install.release.dist: {error}", file=sys.stderr)
        return 1
    print(sums.read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
