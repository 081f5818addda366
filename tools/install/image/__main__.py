"""Builds the image with docker, podman or buildah, and writes its SBOM. Needs the standard library alone.

`make image`, or `python3 -m tools.install.image [--base-image IMAGE] [--platform linux/arm64] …`. Two builds of one
commit on one base give one digest. The archive and the SBOM are in build/image.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install import quiet
from tools.install.compiler import ToolError
from tools.install.image import pip_secrets
from tools.install.image.archive import TIME_FORMAT, Archive, ArchiveError, read_archive
from tools.install.image.engines import NAMES, BuildRequest, Engine, EngineError, find_engine
from tools.install.image.sbom import write_sbom
from tools.install.image.source import IMAGES, NAME, ROOT, Source, SourceError, read_source

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES_OVER_BASE = 120_000_000
LABEL = "org.opencontainers.image"
FAULTS = (EngineError, SourceError, ArchiveError, ToolError, quiet.CommandError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, measures and lists; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        source = read_source()
        engine = find_engine(options.engine)
        with ExitStack() as stack:
            archive = build(engine, make_request(options, source, stack))
        is_small = _tell(archive)
        if options.with_sbom:
            path = write_sbom(archive, NAME, source.version, source.epoch, _report)
            _report(f"SBOM: {path.relative_to(ROOT)}")
    except FAULTS as error:
        print(f"tools.install.image: {error}", file=sys.stderr)
        return 1
    return 0 if is_small else 1


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools.install.image", description="Build the container image and its SBOM.")
    parser.add_argument("--engine", choices=NAMES, default="", help="build with this one (the first that works)")
    parser.add_argument("--base-image", default="", metavar="IMAGE", help="the base (the Dockerfile's)")
    parser.add_argument(
        "--build-image", default="", metavar="IMAGE", help="where the packages are installed, if the base has no pip"
    )
    parser.add_argument("--platform", default="", metavar="OS/ARCH", help="for example linux/arm64 (this machine's)")
    parser.add_argument(
        "--tag", action="append", default=[], help=f"instead of {NAME}:VERSION and {NAME}:latest; may be repeated"
    )
    parser.add_argument("--source", default="", metavar="URL", help="where the repository is, for the image's label")
    parser.add_argument(
        "--pip-config", type=Path, metavar="FILE", help="pip.conf of the build, instead of this machine's settings"
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help=f"a bundle, {pip_secrets.BUNDLE_PLACE} in --pip-config")
    parser.add_argument("--no-cache", dest="is_cached", action="store_false", help="run every step of the build again")
    parser.add_argument("--no-sbom", dest="with_sbom", action="store_false", help="leave the SBOM out")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="WORD",
        help="one more word for the engine: --option=--network=host",
    )
    return parser


def make_request(options: argparse.Namespace, source: Source, stack: ExitStack) -> BuildRequest:
    """What these options ask of an engine; files with secrets are there until the stack is closed."""
    labels = {
        f"{LABEL}.version": source.version,
        f"{LABEL}.created": datetime.fromtimestamp(source.epoch, UTC).strftime(TIME_FORMAT),
        f"{LABEL}.revision": source.revision,
        f"{LABEL}.source": options.source,
        f"{LABEL}.base.name": options.base_image or read_default_base(),
    }
    arguments = {"BASE_IMAGE": options.base_image, "BUILD_IMAGE": options.build_image}
    return BuildRequest(
        context=ROOT,
        tags=tuple(options.tag) or (f"{NAME}:{source.version}", f"{NAME}:latest"),
        epoch=source.epoch,
        arguments={name: value for name, value in arguments.items() if value},
        labels={name: value for name, value in labels.items() if value},
        secrets=_find_secrets(options, stack),
        platform=options.platform,
        is_cached=options.is_cached,
        more=tuple(options.option),
    )


def read_default_base() -> str:
    """The Dockerfile's BASE_IMAGE."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("ARG BASE_IMAGE=")).partition("=")[2]


def build(engine: Engine, request: BuildRequest) -> Archive:
    """Builds the image and returns its archive, which is written into build/image."""
    tag = request.tags[0]
    base = request.labels[f"{LABEL}.base.name"]
    _report(f"engine: {engine.name} {engine.version}")
    _report(pip_secrets.tell(request.secrets))
    _report(f"building {', '.join(request.tags)} on {base} (one to three minutes)")
    engine.build(request)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=IMAGES) as folder:
        engine.save(tag, Path(folder) / "saved.tar")
        saved = read_archive(Path(folder) / "saved.tar")
        names = [engine.name_image(name) for name in request.tags]
        archive = saved.without_traces(Path(folder) / "again.tar", names, request.epoch)
        if archive != saved:
            engine.load(archive.path)
        architecture = archive.platform.partition("/")[2].replace("/", "-")
        return archive.move(IMAGES / f"{NAME}-{request.labels[f'{LABEL}.version']}-{architecture}.tar")


def _find_secrets(options: argparse.Namespace, stack: ExitStack) -> dict[str, Path]:
    if options.pip_config is None and options.ca is None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="controlcore-image-"))
        return pip_secrets.write_secrets(Path(folder))
    given = {"pip": options.pip_config, "ca": options.ca}
    return {name: path.resolve() for name, path in given.items() if path is not None}


def _tell(archive: Archive) -> bool:
    """Prints digest and sizes; False when the image is too large."""
    ours, whole = archive.measure()
    _report(f"digest: {archive.digest} ({archive.platform})")
    _report(f"size: {ours / 1e6:.1f} MB over the base, {whole / 1e6:.1f} MB in all")
    _report(f"archive: {archive.path.relative_to(ROOT)}")
    if ours >= MOST_BYTES_OVER_BASE:
        print(f"tools.install.image: more than {MOST_BYTES_OVER_BASE / 1e6:.0f} MB over the base", file=sys.stderr)
    return ours < MOST_BYTES_OVER_BASE


def _report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
