"""Installs the missing Debian packages of the test bench and leaves no service running.

`python3 -m tools.install.packages`: through apt-get as root; otherwise it prints the exact command and exits 1. A
program of PATH in a supported version counts as well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POLICY_PATH = Path("/usr/sbin/policy-rc.d")
# invoke-rc.d starts nothing when this script answers 101 ("action forbidden").
POLICY_TEXT = "#!/bin/sh\nexit 101\n"
LOCK_SECONDS = 120
SECONDS_EACH = 4
"""Time to install a package, with its download, on the machine of tools.install.programs; the lists take ten
seconds.
"""
CLUSTER_CONFIGURATION = Path("/etc/postgresql-common/createcluster.d")


class PackageError(RuntimeError):
    """A program's package is missing; the message names the command that installs it."""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, the programs taken from it (name -> where), and the services to keep off."""

    name: str
    programs: tuple[tuple[str, str], ...]
    services: tuple[str, ...] = ()


PACKAGES = (
    Package(
        "postgresql",
        (("postgres", "/usr/lib/postgresql/*/bin/postgres"), ("psql", "/usr/lib/postgresql/*/bin/psql")),
        ("postgresql",),
    ),
    Package("redis-server", (("redis-server", "/usr/bin/redis-server"),), ("redis-server",)),
    Package(
        "prometheus",
        (("prometheus", "/usr/bin/prometheus"), ("promtool", "/usr/bin/promtool")),
        ("prometheus",),
    ),
    Package(
        "prometheus-alertmanager",
        (("alertmanager", "/usr/bin/prometheus-alertmanager"), ("amtool", "/usr/bin/amtool")),
        ("prometheus-alertmanager",),
    ),
    Package(
        "prometheus-postgres-exporter",
        (("prometheus-postgres-exporter", "/usr/bin/prometheus-postgres-exporter"),),
        ("prometheus-postgres-exporter",),
    ),
    Package(
        "prometheus-redis-exporter",
        (("prometheus-redis-exporter", "/usr/bin/prometheus-redis-exporter"),),
        ("prometheus-redis-exporter",),
    ),
    Package("wrk", (("wrk", "/usr/bin/wrk"),)),
    Package("pgbouncer", (("pgbouncer", "/usr/sbin/pgbouncer"),), ("pgbouncer",)),
    Package("groff-base", (("groff", "/usr/bin/groff"),)),
    Package("openssl", (("openssl", "/usr/bin/openssl"),)),
)
DEMO = tuple(
    package
    for package in PACKAGES
    if package.name in {"postgresql", "redis-server", "prometheus", "prometheus-alertmanager", "openssl"}
)
"""What `make demo` needs of them."""


LEAST_VERSIONS = {"postgres": (12, 0), "redis-server": (6, 0), "prometheus": (2, 42), "alertmanager": (0, 25)}
"""Minimum version of a program on PATH; other programs count in any version."""


def locate(name: str) -> Path:
    """The path of a program; PackageError names the command that installs it when it is not there."""
    for package in PACKAGES:
        for program, place in package.programs:
            if program == name:
                found = _find(program, place)
                if found is None:
                    raise PackageError(f"{name} is not installed: run `python3 -m tools.install.packages`")
                return found
    raise PackageError(f"no package of the list holds {name!r}")


def _find(program: str, place: str) -> Path | None:
    """Where Debian puts it (the newest of several, 15 first: the tests' own), else on PATH in a supported version."""
    places = sorted(Path("/").glob(place.lstrip("/")), key=lambda path: ("/15/" in str(path), _numbers(str(path))))
    if places:
        return places[-1]
    found = shutil.which(program)
    if found is None or _version(found) < LEAST_VERSIONS.get(program, ()):
        return None
    return Path(found)


def _version(program: str) -> tuple[int, ...]:
    """The first number with a point that `--version` prints; empty when there is none."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d+", answer.stdout + answer.stderr)
    return _numbers(number[0]) if number else ()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", text))


def find_missing(wanted: Sequence[Package] = PACKAGES) -> tuple[Package, ...]:
    """Those of the packages of which a program is not there."""
    return tuple(package for package in wanted if None in {_find(*program) for program in package.programs})


def install(missing: Sequence[Package]) -> None:
    """Installs by apt-get with every service start forbidden, and keeps the new services off at the next boot."""
    names = [package.name for package in missing]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A service that is enabled already is the owner's own, such as another version of PostgreSQL.
    services = [name for package in missing for name in package.services if not _is_enabled(name)]
    with services_forbidden(POLICY_PATH), _clusters_forbidden():
        # Another apt-get, such as that of unattended upgrades, may be at work.
        apt = ["apt-get", "-q", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}"]
        quiet.run([*apt, "update"], environment)
        quiet.run([*apt, "install", "-y", "--no-install-recommends", *names], environment)
    if services and shutil.which("systemctl"):
        # Without --now: nothing was started. It works offline too, in a container or an image.
        quiet.run(["systemctl", "--quiet", "disable", *services])


def _is_enabled(service: str) -> bool:
    """Whether the service starts at boot now; False where there is no systemd."""
    if shutil.which("systemctl") is None:
        return False
    command = ["systemctl", "is-enabled", "--quiet", service]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def services_forbidden(policy_path: Path) -> Iterator[None]:
    """Has package scripts start nothing meanwhile; a policy that was there before is back afterwards."""
    kept = (policy_path.read_bytes(), policy_path.stat().st_mode) if policy_path.exists() else None
    policy_path.write_text(POLICY_TEXT, encoding="utf-8")
    policy_path.chmod(0o755)
    try:
        yield
    finally:
        if kept is None:
            policy_path.unlink(missing_ok=True)
        else:
            policy_path.write_bytes(kept[0])
            policy_path.chmod(kept[1])


@contextmanager
def _clusters_forbidden() -> Iterator[None]:
    """Has PostgreSQL's package make no database of its own (createcluster.d(5), create_main_cluster)."""
    path = CLUSTER_CONFIGURATION / "controlcore.conf"
    had_folders = [folder for folder in (CLUSTER_CONFIGURATION.parent, CLUSTER_CONFIGURATION) if folder.is_dir()]
    CLUSTER_CONFIGURATION.mkdir(parents=True, exist_ok=True)
    path.write_text("create_main_cluster = false\n", encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        for folder in (CLUSTER_CONFIGURATION, CLUSTER_CONFIGURATION.parent):
            if folder not in had_folders:
                with suppress(OSError):
                    folder.rmdir()


def find_obstacles(missing: Sequence[Package]) -> list[str]:
    """Why these cannot be installed here, and what does it; empty when they can, or when nothing is missing."""
    names = " ".join(package.name for package in missing)
    if not missing:
        return []
    if shutil.which("apt-get") is None:
        programs = ", ".join(program for package in missing for program, _ in package.programs)
        return [f"no apt-get here; bring these programs onto PATH by your system's means: {programs}"]
    if os.geteuid() != 0:
        plain = f"sudo apt-get install --no-install-recommends {names}"
        command = "sudo python3 -m tools.install.packages"
        return [
            f"not root; run this, then the same command again:\n  {command}\nor (their services start then): {plain}"
        ]
    return []


def ensure(wanted: Sequence[Package] = PACKAGES) -> int:
    """Installs what is missing of these, or says why it cannot and which command does; returns the exit status."""
    missing = find_missing(wanted)
    if not missing:
        return 0
    for obstacle in find_obstacles(missing):
        print(f"tools.install.packages: {obstacle}", file=sys.stderr)
        return 1
    names = " ".join(package.name for package in missing)
    print(f"installing Debian's {names} (about {SECONDS_EACH * len(missing) + 10} s)", flush=True)
    try:
        install(missing)
    except quiet.CommandError as error:
        print(f"tools.install.packages: {error}", file=sys.stderr)
        return 1
    left = find_missing(wanted)
    if left:
        print(f"tools.install.packages: still missing: {' '.join(package.name for package in left)}", file=sys.stderr)
    return 1 if left else 0


def main() -> int:
    """Installs what is missing, or says that nothing is; returns the exit status."""
    status = ensure()
    if status == 0:
        print(f"Debian packages: all {len(PACKAGES)} are there")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
