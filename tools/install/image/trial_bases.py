"""Makes the trial's bases from Debian's packages: a whole one, and one without a shell or a package manager."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install import quiet
from tools.install.cache import cache_folder, locked
from tools.install.image.engines import BuildRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.install.image.engines import Engine

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
WHOLE, BARE = "controlcore-trial-base:whole", "controlcore-trial-base:bare"
EPOCH = 1577836800
PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")
UNUSED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/locale", "usr/share/man")
MANAGERS = ("etc/apt", "usr/lib/apt", "usr/lib/dpkg", "usr/share/perl5", "usr/lib/python3/dist-packages")
DOCKERFILE = """FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""


def make_bases(engine: Engine, report: Callable[[str], None]) -> None:
    """Has the engine hold both bases; Debian's packages are unpacked once, into the tools' cache."""
    for tag, archive in zip((WHOLE, BARE), _make_archives(report), strict=True):
        report(f"base: {tag} from {archive}")
        with tempfile.TemporaryDirectory(prefix="controlcore-base-") as folder:
            context = Path(folder)
            (context / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
            shutil.copy(archive, context / "base.tar")
            engine.build(BuildRequest(context, (tag,), EPOCH))


def is_left_out(name: str) -> bool:
    """Whether the bare base lacks this file: every program but Python, and what only a package manager reads."""
    folder, _, file = name.rpartition("/")
    if folder in PROGRAM_FOLDERS:
        return not file.startswith("python3")
    return any(name == place or name.startswith(f"{place}/") for place in MANAGERS)


def _make_archives(report: Callable[[str], None]) -> tuple[Path, Path]:
    folder = cache_folder() / f"image-base-{SUITE}"
    archives = folder / "whole.tar", folder / "bare.tar"
    with locked(folder, lambda: report("base: another process makes it, waiting")):
        if not all(archive.is_file() for archive in archives):
            report(f"base: Debian's {', '.join(PACKAGES)} of {SUITE} by debootstrap, about two minutes")
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                root = Path(temporary) / "root"
                quiet.run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)])
                for archive, is_bare in zip(archives, (False, True), strict=True):
                    _pack(root, Path(temporary) / archive.name, is_bare=is_bare)
                    (Path(temporary) / archive.name).rename(archive)
    return archives


def _pack(root: Path, path: Path, *, is_bare: bool) -> None:
    def choose(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = member.name.removeprefix("./")
        is_unused = any(name.startswith(f"{place}/") for place in UNUSED)
        is_other = not (member.isfile() or member.isdir() or member.issym() or member.islnk())
        return None if is_unused or is_other or (is_bare and is_left_out(name)) else member

    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=".", filter=choose)
