"""`make scan`: which documents it reads, and what ends it."""

from __future__ import annotations

from pathlib import Path

from tools.install.image import scan


def test_every_platform_of_this_version_is_scanned(tmp_path: Path) -> None:
    names = ["controlcore-sidecar-1.2.3-amd64.cdx.json", "controlcore-sidecar-1.2.3-arm64.cdx.json"]
    for name in (*names, "controlcore-sidecar-1.2.2-amd64.cdx.json", "controlcore-sidecar-1.2.3-amd64.tar"):
        (tmp_path / name).write_text("{}")
    assert [path.name for path in scan.find_sboms(tmp_path, "1.2.3")] == names


def test_only_what_a_newer_version_repairs_ends_it() -> None:
    command = scan.make_command(Path("/grype"), Path("/image.cdx.json"))
    assert command[:2] == ["/grype", "sbom:/image.cdx.json"]
    assert {"--only-fixed", "--fail-on", "high"} <= set(command)


def test_missing_image_is_a_fault_and_not_a_clean_scan(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(scan, "IMAGES", tmp_path)
    assert scan.main() == 1
    assert "run `make image` first" in capsys.readouterr().err
