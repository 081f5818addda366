from __future__ import annotations

from pathlib import Path

import pytest

from remediations.journal.sqlite.filesystem import find_fault

MOUNTINFO = """21 1 8:1 / / rw,relatime shared:1 - {root} /dev/sda1 rw
22 21 0:5 / /dev rw - devtmpfs udev rw
30 21 0:40 / {point} rw shared:2 - {kind} device rw
broken line
"""


def fault(folder: Path, kind: str, root: str = "ext4", point: str | None = None) -> str:
    mounts = folder / "mountinfo"
    place = folder / "data"
    place.mkdir()
    mounts.write_text(MOUNTINFO.format(kind=kind, root=root, point=point or place))
    return find_fault(place / "journal.db", mounts)


@pytest.mark.parametrize("kind", ["tmpfs", "overlay", "ramfs", "nfs4", "cifs", "9p"])
def test_ephemeral_and_network_file_systems_are_named(tmp_path, kind):
    assert f"is on {kind}" in fault(tmp_path, kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs"])
def test_disk_is_no_fault_even_on_an_overlay_root(tmp_path, kind):
    assert fault(tmp_path, kind, root="overlay") == ""


def test_mount_beside_the_journal_does_not_count(tmp_path):
    assert "is on overlay" in fault(tmp_path, "ext4", root="overlay", point=str(tmp_path / "dat"))


def test_unknown_file_system_is_a_fault(tmp_path):
    assert "unknown" in find_fault(tmp_path / "journal.db", tmp_path / "nothing")
    (tmp_path / "empty").write_text("")
    assert "unknown" in find_fault(tmp_path / "journal.db", tmp_path / "empty")
