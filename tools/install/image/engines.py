"""The programs that build an image: docker, podman or buildah, whichever works on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("docker", "podman", "buildah")
"""In the order of preference."""
CHECK_SECONDS = 30.0
INSTALL = "install one (Debian: apt-get install --no-install-recommends buildah)"


class EngineError(RuntimeError):
    """No image can be built here; the message says why for each program, and what to do."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build: `epoch` becomes the time of everything in the image; secrets are files by their id."""

    context: Path
    tags: tuple[str, ...]
    epoch: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    platform: str = ""
    is_cached: bool = True
    # Options of the program itself, such as --network host.
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the three programs, which works here."""

    name: str
    version: str

    def build(self, request: BuildRequest) -> None:
        """Builds and tags the image; quiet.CommandError shows what the program printed."""
        variables = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"} if self.name == "docker" else {}
        quiet.run(self.build_command(request), {**os.environ, **variables})

    def build_command(self, request: BuildRequest) -> list[str]:
        """The whole command line of a build."""
        command = [self.name, "build"]
        if self.name != "docker":
            # The OCI format has no health check. With a layer for each step, its history has ids of these layers' own.
            # BuildKit takes the time from SOURCE_DATE_EPOCH.
            command += ["--format", "docker", "--layers=false", "--timestamp", str(request.epoch)]
        for name, value in {"SOURCE_DATE_EPOCH": str(request.epoch), **request.arguments}.items():
            command += ["--build-arg", f"{name}={value}"]
        for name, value in request.labels.items():
            command += ["--label", f"{name}={value}"]
        for name, path in request.secrets.items():
            command += ["--secret", f"id={name},src={path}"]
        for tag in request.tags:
            command += ["--tag", tag]
        command += ["--platform", request.platform] if request.platform else []
        command += [] if request.is_cached else ["--no-cache"]
        return [*command, *request.more, str(request.context)]

    def name_image(self, tag: str) -> str:
        """The whole name that the program gives a tag."""
        host, is_path, _ = tag.partition("/")
        has_host = bool(is_path) and (host == "localhost" or "." in host or ":" in host)
        return tag if has_host or self.name == "docker" else f"localhost/{tag}"

    def load(self, path: Path) -> None:
        """Takes the image of an archive, which gets the names that stand in it."""
        quiet.run(
            [
                self.name,
                *(["pull", f"docker-archive:{path}"] if self.name == "buildah" else ["load", "--input", str(path)]),
            ]
        )

    def save(self, tag: str, path: Path) -> None:
        """Writes the image as an archive for `docker load`; quiet.CommandError shows what the program printed."""
        path.unlink(missing_ok=True)
        quiet.run(self.save_command(tag, path))

    def save_command(self, tag: str, path: Path) -> list[str]:
        """The whole command line of `save`."""
        if self.name == "buildah":
            return ["buildah", "push", "--quiet", tag, f"docker-archive:{path}:{self.name_image(tag)}"]
        form = ["--format", "docker-archive"] if self.name == "podman" else []
        return [self.name, "save", *form, "--output", str(path), tag]


def find_engine(wanted: str = "") -> Engine:
    """The first of the three that works here, or the wanted one; EngineError tells each one's problem."""
    problems = []
    for name in (wanted,) if wanted else NAMES:
        try:
            return Engine(name, _check(name))
        except EngineError as error:
            problems.append(f"  {name}: {error}")
    raise EngineError("no program that builds images works here:\n" + "\n".join(problems) + f"\n{INSTALL}")


def _check(name: str) -> str:
    """The version of a program that works; EngineError says why it does not."""
    if shutil.which(name) is None:
        raise EngineError("not installed")
    if name != "docker":
        _ask(name, "info")
        return _ask(name, "--version").removeprefix(f"{name} version ").partition(" ")[0]
    version = _ask(name, "version", "--format", "{{.Server.Version}}")
    try:
        has_secrets = "--secret" in _ask(name, "build", "--help", DOCKER_BUILDKIT="1")
    except EngineError:
        has_secrets = False
    if not has_secrets:
        raise EngineError("builds without BuildKit: install its plug-in buildx (Docker's package docker-buildx-plugin)")
    return version


def _ask(*command: str, **variables: str) -> str:
    """What the command prints; EngineError has the last line that it says when it fails."""
    try:
        answer = subprocess.run(
            command,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"`{' '.join(command)}` gave no answer within {CHECK_SECONDS:g} s") from None
    if answer.returncode != 0:
        said = (answer.stderr.strip() or answer.stdout.strip() or f"status {answer.returncode}").splitlines()
        raise EngineError(f"`{' '.join(command)}` failed: {said[-1]}")
    return answer.stdout.strip()
