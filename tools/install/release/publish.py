"""`make publish`: pushes image and chart to a registry, signs and attests them, and signs the checksums of dist.

It publishes what `make image` and `make dist` wrote, and builds nothing. docker must be logged in at the registry; Helm
and cosign take its credentials. The signatures are keyless: cosign gets a certificate for the identity of the pipeline
(GitHub's token, GitLab's SIGSTORE_ID_TOKEN), so there is no key to keep. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install.build import locate
from tools.install.compiler import ToolError
from tools.install.image.source import IMAGES, NAME, SourceError, read_source
from tools.install.release.dist import DIST, SIGNATURE, SUMS, ReleaseError, check_sums, check_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHART_NAME = "controlcore-exporter"
DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
ARCHITECTURE = "amd64"
"""That of the archive which is pushed: one name holds one platform."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is published, and where."""

    registry: str
    version: str
    tag: str = ""
    provenance: Path | None = None
    dist: Path = DIST
    images: Path = IMAGES

    @property
    def image(self) -> str:
        """The image's name in the registry, without a tag."""
        return f"{self.registry}/{NAME}"

    @property
    def chart(self) -> str:
        """The chart's name in the registry, without a tag."""
        return f"{self.registry}/charts/{CHART_NAME}"

    @property
    def archive(self) -> Path:
        """The image as `make image` wrote it."""
        return self.images / f"{NAME}-{self.version}-{ARCHITECTURE}.tar"

    @property
    def sbom(self) -> Path:
        """The image's SBOM, one of the files of dist."""
        return self.dist / f"{NAME}-{self.version}-{ARCHITECTURE}.cdx.json"

    @property
    def package(self) -> Path:
        """The packaged chart."""
        return self.dist / f"{CHART_NAME}-{self.version}.tgz"


def check_release(release: Release) -> None:
    """ReleaseError without a registry, for another tag, or when a file is missing or not what the checksums say."""
    if not re.fullmatch(r"[^\s/@]+(/[^\s/@]+)*", release.registry):
        raise ReleaseError(f"REGISTRY is {release.registry!r}: name host and path, for example registry.example/team")
    check_versions(release.version, "", release.tag)
    check_sums(release.dist)
    for path, command in ((release.archive, "image"), (release.sbom, "dist"), (release.package, "dist")):
        if not path.is_file():
            raise ReleaseError(f"{path} is missing: run `make {command}`")
    if release.provenance is not None and not release.provenance.is_file():
        raise ReleaseError(f"{release.provenance} is missing: the runner writes it with the artifacts")


def publish(release: Release, run: Callable[[Sequence[str]], str]) -> dict[str, str]:
    """Pushes, signs and attests; returns names and digests for the pipeline. `run` returns what a command prints."""
    check_release(release)
    tagged = f"{release.image}:{release.version}"
    run(["docker", "load", "--input", str(release.archive)])
    run(["docker", "tag", f"{NAME}:{release.version}", tagged])
    image = read_digest(run(["docker", "push", tagged]), tagged)
    chart = read_digest(
        run(["helm", "push", str(release.package), f"oci://{release.chart.rpartition('/')[0]}"]), release.chart
    )
    for name in (f"{release.image}@{image}", f"{release.chart}@{chart}"):
        run(["cosign", "sign", "--yes", name])
    attest = ["cosign", "attest", "--yes", "--type", "cyclonedx", "--predicate", str(release.sbom)]
    run([*attest, f"{release.image}@{image}"])
    for path in filter(None, (release.dist / SUMS, release.provenance)):
        run(["cosign", "sign-blob", "--yes", "--bundle", f"{path}{SIGNATURE}", str(path)])
    return {
        "image": release.image,
        "image_digest": image,
        "chart": release.chart,
        "chart_digest": chart,
        "sbom": str(release.sbom),
    }


def read_digest(printed: str, what: str) -> str:
    """The digest in what a push printed; ReleaseError unless there is exactly one."""
    found: set[str] = set(DIGEST.findall(printed))
    if len(found) != 1:
        raise ReleaseError(f"the push of {what} printed {len(found)} digests, not one:\n{printed.strip()}")
    return found.pop()


def run_command(command: Sequence[str]) -> str:
    """Runs docker from PATH, or the built Helm or cosign; returns what it prints. ReleaseError when it fails."""
    program, *arguments = command
    found = program if program == "docker" else str(locate(program))
    print(f"{program} {' '.join(arguments)}", flush=True)
    try:
        answer = subprocess.run(
            [found, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ReleaseError("docker is not on PATH: install it, and log in at the registry") from error
    if answer.returncode != 0:
        raise ReleaseError(f"{program} failed with status {answer.returncode}\n{answer.stdout.strip()}")
    return answer.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Publishes and prints each name with its digest; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools.install.release.publish", description="Publish what was built.")
    parser.add_argument("--registry", required=True, metavar="HOST/PATH", help="where image and chart go")
    parser.add_argument("--tag", default="", help="the tag of the release; another version than ours ends it")
    parser.add_argument("--provenance", type=Path, metavar="FILE", help="sign this, too (GitLab's runner writes it)")
    parser.add_argument("--outputs", type=Path, metavar="FILE", help="append NAME=VALUE lines (GitHub's GITHUB_OUTPUT)")
    options = parser.parse_args(arguments)
    try:
        release = Release(options.registry, read_source().version, options.tag, options.provenance)
        published = publish(release, run_command)
    except (ReleaseError, SourceError, ToolError) as error:
        print(f"tools.install.release.publish: {error}", file=sys.stderr)
        return 1
    lines = "".join(f"{name}={value}\n" for name, value in published.items())
    print(lines, end="")
    if options.outputs is not None:
        with options.outputs.open("a", encoding="utf-8") as file:
            file.write(lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
