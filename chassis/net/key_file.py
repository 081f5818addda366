"""Gives OpenSSL a key or certificate that is in memory: Python's ssl module loads both from files only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def as_file(material: bytes | Path) -> Iterator[Path]:
    """The material's file. Bytes get one that this user alone may read, and that is gone at exit.

    On Linux that file is in memory: the key never reaches a disk, and the root file system may be read-only.
    """
    if isinstance(material, Path):
        yield material
        return
    if not (hasattr(os, "memfd_create") and DESCRIPTORS.is_dir()):
        with tempfile.NamedTemporaryFile(prefix="controlcore-") as file:
            file.write(material)
            file.flush()
            yield Path(file.name)
        return
    with os.fdopen(os.memfd_create("controlcore", os.MFD_CLOEXEC), "wb") as memory:
        memory.write(material)
        memory.flush()
        yield DESCRIPTORS / str(memory.fileno())
