"""The files of a release: one version, and checksums of exactly these files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.install.image.source import read_source
from tools.install.release.dist import CHART, SIGNATURE, SUMS, ReleaseError, check_sums, check_versions, write_sums

if TYPE_CHECKING:
    from pathlib import Path

CHART_TEXT = "name: x\nversion: 1.2.3\nappVersion: 1.2.3\nkubeVersion: '>=1.25'\n"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    (tmp_path / "a.whl").write_bytes(b"wheel")
    (tmp_path / "b.tgz").write_bytes(b"chart")
    write_sums(tmp_path)
    return tmp_path


def test_wheel_and_chart_of_this_repository_have_one_version() -> None:
    check_versions(read_source().version, (CHART / "Chart.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("tag", ["", "v1.2.3"])
def test_one_version_is_released(tag: str) -> None:
    check_versions("1.2.3", CHART_TEXT, tag)


@pytest.mark.parametrize(
    ("chart", "tag", "told"),
    [
        (CHART_TEXT, "v1.2.4", "the tag is 1.2.4"),
        (CHART_TEXT.replace("appVersion: 1.2.3", "appVersion: 1.2.2"), "", r"Chart\.yaml appVersion is 1\.2\.2"),
        (CHART_TEXT.replace("\nversion: 1.2.3", "\nversion: 2.0.0"), "", r"Chart\.yaml version is 2\.0\.0"),
    ],
)
def test_another_version_is_refused(chart: str, tag: str, told: str) -> None:
    with pytest.raises(ReleaseError, match=told):
        check_versions("1.2.3", chart, tag)


def test_checksums_are_those_of_sha256sum(dist: Path) -> None:
    assert (dist / SUMS).read_text().splitlines()[0] == (
        "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91  a.whl"
    )


def test_unchanged_files_and_their_signature_pass(dist: Path) -> None:
    (dist / f"{SUMS}{SIGNATURE}").write_text("{}")
    check_sums(dist)


def test_changed_missing_or_added_file_is_refused(dist: Path) -> None:
    (dist / "a.whl").write_bytes(b"another")
    (dist / "b.tgz").unlink()
    (dist / "c.json").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"a\.whl, b\.tgz, c\.json"):
        check_sums(dist)


def test_folder_without_checksums_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="run `make dist`"):
        check_sums(tmp_path)
