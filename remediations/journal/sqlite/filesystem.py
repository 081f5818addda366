"""Whether a directory's file system survives the machine or pod, and keeps SQLite's guarantees."""

from __future__ import annotations

from pathlib import Path

EPHEMERAL = frozenset({"tmpfs", "ramfs", "overlay", "aufs", "squashfs"})
"""A restart of the pod or machine empties them, and so cooldowns, budgets and approvals are lost."""
NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "virtiofs",
        "afs",
    }
)
"""WAL needs shared memory, and locks that hold: https://www.sqlite.org/wal.html, https://www.sqlite.org/lockingv3.html"""
MOUNTS = Path("/proc/self/mountinfo")


def find_fault(path: Path, mounts: Path = MOUNTS) -> str:
    """Why a journal in this file is unreliable; empty if nothing speaks against it. Blocks on the disk.

    The type of the file system comes from /proc/self/mountinfo (proc(5)); if that cannot be read, the type is unknown,
    which counts as a fault too.
    """
    try:
        text = mounts.read_text(encoding="utf-8", errors="replace")
        place = path.parent.resolve()
    except OSError as error:
        return f"the file system of {path} is unknown: {error.strerror}"
    kind = _type_of(place, text)
    if kind in EPHEMERAL:
        return f"{path} is on {kind}, which does not survive a restart"
    if kind in NETWORK:
        return f"{path} is on {kind}, where SQLite's locks and WAL do not hold"
    return "" if kind else f"the file system of {path} is unknown"


def _type_of(place: Path, mountinfo: str) -> str:
    """The type of the file system of the longest mount point above the place; of equals, the last mounted."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split()
        if not separator or len(fields) < 5 or not after:  # noqa: PLR2004 - the fifth field is the mount point
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), after.split()[0]
    return found
