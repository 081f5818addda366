"""A key from memory is a file for OpenSSL, and for nobody else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from chassis.net.key_file import as_file


@pytest.fixture
def no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that may write nowhere, as a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))


@pytest.mark.usefixtures("no_disk")
def test_material_of_memory_needs_no_disk_and_is_gone_afterwards():
    with as_file(b"a key") as path, as_file(b"a certificate") as other:
        assert (path.read_bytes(), other.read_bytes()) == (b"a key", b"a certificate")
        descriptor = int(path.name)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_system_without_such_files_has_one_that_its_user_alone_reads(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with as_file(b"a key") as path:
        assert path.read_bytes() == b"a key"
        assert path.stat().st_mode & 0o077 == 0
    assert not path.exists()


def test_file_is_taken_as_it_is(tmp_path):
    with as_file(tmp_path / "key") as path:
        assert path == tmp_path / "key"
