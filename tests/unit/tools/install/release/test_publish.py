"""`make publish`: what it pushes, what it signs, and what it refuses before the first push."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tools.install.release.dist import ReleaseError, write_sums
from tools.install.release.publish import Release, publish, read_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

IMAGE_DIGEST = f"sha256:{'a' * 64}"
CHART_DIGEST = f"sha256:{'b' * 64}"
PRINTED = {"docker push": f"1.2.3: digest: {IMAGE_DIGEST} size: 1234\n", "helm push": f"Digest: {CHART_DIGEST}\n"}


class Commands:
    """Keeps every command and prints what docker and Helm would."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.lines.append(" ".join(command))
        return PRINTED.get(" ".join(command[:2]), "")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    made = Release("registry.test/team", "1.2.3", "v1.2.3", dist=tmp_path / "dist", images=tmp_path / "image")
    made.dist.mkdir()
    made.images.mkdir()
    for path in (made.archive, made.sbom, made.package):
        path.write_bytes(path.name.encode())
    write_sums(made.dist)
    return made


def test_everything_is_signed_by_the_digest_that_the_registry_gave(release: Release) -> None:
    commands = Commands()
    published = publish(release, commands)
    image = f"registry.test/team/controlcore-sidecar@{IMAGE_DIGEST}"
    chart = f"registry.test/team/charts/controlcore-exporter@{CHART_DIGEST}"
    assert [line for line in commands.lines if line.startswith("cosign")] == [
        f"cosign sign --yes {image}",
        f"cosign sign --yes {chart}",
        f"cosign attest --yes --type cyclonedx --predicate {release.sbom} {image}",
        f"cosign sign-blob --yes --bundle {release.dist}/SHA256SUMS.sigstore.json {release.dist}/SHA256SUMS",
    ]
    assert (published["image_digest"], published["chart_digest"]) == (IMAGE_DIGEST, CHART_DIGEST)


def test_image_of_the_archive_and_packaged_chart_are_pushed(release: Release) -> None:
    commands = Commands()
    publish(release, commands)
    assert commands.lines[:4] == [
        f"docker load --input {release.archive}",
        "docker tag controlcore-sidecar:1.2.3 registry.test/team/controlcore-sidecar:1.2.3",
        "docker push registry.test/team/controlcore-sidecar:1.2.3",
        f"helm push {release.package} oci://registry.test/team/charts",
    ]


def test_provenance_of_the_runner_is_signed(release: Release, tmp_path: Path) -> None:
    provenance = tmp_path / "release-metadata.json"
    provenance.write_text("{}")
    commands = Commands()
    publish(replace(release, provenance=provenance), commands)
    assert commands.lines[-1] == f"cosign sign-blob --yes --bundle {provenance}.sigstore.json {provenance}"


@pytest.mark.parametrize("registry", ["", "https://registry.test", "registry.test/", "a b"])
def test_registry_that_is_none_is_refused(release: Release, registry: str) -> None:
    commands = Commands()
    with pytest.raises(ReleaseError, match="name host and path"):
        publish(replace(release, registry=registry), commands)
    assert commands.lines == []


@pytest.mark.parametrize("part", ["archive", "sbom", "package"])
def test_missing_file_is_refused(release: Release, part: str) -> None:
    commands = Commands()
    getattr(release, part).unlink()
    write_sums(release.dist)
    with pytest.raises(ReleaseError, match="is missing: run `make"):
        publish(release, commands)
    assert commands.lines == []


def test_changed_file_is_refused(release: Release) -> None:
    release.package.write_bytes(b"another")
    commands = Commands()
    with pytest.raises(ReleaseError, match=release.package.name):
        publish(release, commands)
    assert commands.lines == []


def test_tag_of_another_version_is_refused(release: Release) -> None:
    with pytest.raises(ReleaseError, match=r"the tag is 1\.2\.4"):
        publish(replace(release, tag="v1.2.4"), Commands())


def test_provenance_that_is_not_there_is_refused(release: Release, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="the runner writes it"):
        publish(replace(release, provenance=tmp_path / "none.json"), Commands())


@pytest.mark.parametrize("printed", ["", f"{IMAGE_DIGEST} {CHART_DIGEST}"])
def test_push_without_one_digest_is_refused(printed: str) -> None:
    with pytest.raises(ReleaseError, match="digests, not one"):
        read_digest(printed, "it")
