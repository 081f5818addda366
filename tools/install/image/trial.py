"""Builds the image twice from a base made here, runs both programs of it, and compares the SBOM with its contents.

`make image TRIAL=1`, or `python3 -m tools.install.image.trial [--engine NAME] [--option WORD …]`: as root on Linux,
with debootstrap, runc and openssl (Debian's packages). No registry of images is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tools.install.image.__main__ import FAULTS, build, build_parser, make_request
from tools.install.image.archive import Archive
from tools.install.image.container import UID, Container
from tools.install.image.engines import NAMES, find_engine
from tools.install.image.sbom import write_sbom
from tools.install.image.source import NAME, read_source
from tools.install.image.trial_bases import BARE, WHOLE, make_bases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NEEDED = ("debootstrap", "runc", "openssl")
TAG = "controlcore-trial:latest"
SHELLS_AND_MANAGERS = re.compile(r"(^|/)bin/(sh|bash|dash|busybox|apt|apt-get|dpkg|apk|rpm|pip3?)$")
PORTS = {"controlcore-exporter": 9877, "controlcore-remediator": 9878}
WEB = """tls_server_config: {cert_file: /config/tls.crt, key_file: /config/tls.key}
basic_auth_users: {ann: $2b$04$TXYimiijQbjkWizcZD5jVOcP9/o3t1/97LBkl9qAU051CTEgV00je}
"""
REMEDIATOR = """server: {token_file: /config/token, web_config_file: WEB}
policies_file: /config/policies.yaml
journal: {path: /journal/journal.db}
"""
HEALTHY, UNHEALTHY = 0, 1


class Trial:
    """Prints each check as it ends, and remembers whether all of them held."""

    def __init__(self) -> None:
        self.has_failed = False

    def check(self, what: str, found: object, *, holds: bool) -> None:
        """Prints the check, what was found, and whether it holds."""
        self.has_failed |= not holds
        print(f"  {'ok  ' if holds else 'FAIL'} {what}: {found}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs every check; the exit status is 1 when one of them failed, or none could be made."""
    parser = argparse.ArgumentParser(prog="tools.install.image.trial", description="Build the image twice and try it.")
    parser.add_argument("--engine", choices=NAMES, default="", help="build with this one (the first that works)")
    parser.add_argument("--option", action="append", default=[], metavar="WORD", help="one more word for the engine")
    options = parser.parse_args(arguments)
    if obstacle := find_obstacle():
        print(f"tools.install.image.trial: {obstacle}", file=sys.stderr)
        return 1
    trial = Trial()
    try:
        with tempfile.TemporaryDirectory(prefix="controlcore-trial-") as folder:
            archive = try_build(trial, options)
            root = Path(folder) / "root"
            root.mkdir()
            archive.unpack(root)
            try_contents(trial, archive, root)
            for program in PORTS:
                for with_tls in (False, True):
                    try_program(trial, archive, Path(folder), program, with_tls=with_tls)
    except FAULTS as error:
        print(f"tools.install.image.trial: {error}", file=sys.stderr)
        return 1
    return 1 if trial.has_failed else 0


def find_obstacle() -> str:
    """Why nothing can be tried here, and what to do; empty when it can."""
    if sys.platform != "linux":
        return "Linux alone runs the image"
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        return f"missing: {', '.join(missing)} (Debian: apt-get install --no-install-recommends {' '.join(missing)})"
    return "" if os.geteuid() == 0 else "root alone makes a base and runs a container: use sudo"


def try_build(trial: Trial, options: argparse.Namespace) -> Archive:
    """Builds twice without a cache; returns the second archive."""
    engine, source = find_engine(options.engine), read_source()
    make_bases(engine, lambda line: print(line, flush=True))
    words = ["--base-image", BARE, "--build-image", WHOLE, "--tag", TAG, "--no-cache"]
    asked = build_parser().parse_args([*words, *(f"--option={word}" for word in options.option)])
    digests = []
    for _ in range(2):
        with ExitStack() as stack:
            archive = build(engine, make_request(asked, source, stack))
        digests.append(archive.digest)
        print(f"digest: {archive.digest}", flush=True)
    trial.check("two builds have one digest", " ".join(digests), holds=len(set(digests)) == 1)
    ours, whole = archive.measure()
    figures = f"{ours / 1e6:.1f} MB over the base of {(whole - ours) / 1e6:.1f} MB"
    trial.check("less than 120 MB over the base", figures, holds=ours < 120_000_000)
    sbom = write_sbom(archive, NAME, source.version, source.epoch, lambda line: print(line, flush=True))
    python, debian = archive.read_packages()
    listed = read_components(sbom)
    missing = sorted(
        f"{name} {version}"
        for kind, packages in (("pypi", python), ("deb", debian))
        for name, version in packages.items()
        if (kind, canonical(name), version) not in listed
    )
    counted = f"{len(python)} Python and {len(debian)} Debian packages, {len(listed)} listed, missing {missing}"
    trial.check("the SBOM lists every package", counted, holds=bool(python and debian) and not missing)
    return archive


def read_components(path: Path) -> set[tuple[str, str, str]]:
    """Kind, name and version of each package in a CycloneDX document."""
    components = json.loads(path.read_text(encoding="utf-8"))["components"]
    return {
        (component["purl"].partition(":")[2].partition("/")[0], canonical(component["name"]), component["version"])
        for component in components
        if "purl" in component
    }


def canonical(name: str) -> str:
    """The one form of a Python distribution's name; Debian's names already have it but for dots and plus signs."""
    return re.sub(r"[-_.]+", "-", name).lower()


def try_contents(trial: Trial, archive: Archive, root: Path) -> None:
    """What the image is told to do, and what is not in it."""
    user = cast("str", archive.settings.get("User", ""))
    trial.check("the user is a number other than 0", user, holds=bool(re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user)))
    health = cast("dict[str, list[str]]", archive.settings.get("Healthcheck") or {}).get("Test", [])
    trial.check("the health check needs no shell", " ".join(health), holds=health[:1] == ["CMD"])
    labels = sorted(name for name in cast("dict[str, str]", archive.settings["Labels"]) if "opencontainers" in name)
    trial.check("labels", ", ".join(labels), holds={"revision", "version"} <= {name.split(".")[-1] for name in labels})
    found = [str(path.relative_to(root)) for path in root.rglob("*") if SHELLS_AND_MANAGERS.search(str(path))]
    trial.check("no shell and no package manager", found or "none", holds=not found)
    timed = list(root.glob("opt/**/*.pyc"))
    flags = {path.read_bytes()[4:8] for path in timed}
    trial.check("no bytecode has a time", f"{len(timed)} files", holds=flags == {b"\x01\0\0\0"})
    writable = [path for path in root.glob("opt/**/*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    trial.check("root alone may write to our files", writable[:3] or "yes", holds=not writable)


def try_program(trial: Trial, archive: Archive, folder: Path, program: str, *, with_tls: bool) -> None:
    """Starts the program under the strictest rules, asks for its health, freezes it, and stops it."""
    health = cast("dict[str, list[str]]", archive.settings["Healthcheck"])["Test"][1:]
    title = f"{program}{', TLS and a password' if with_tls else ''}"
    environment = cast("list[str]", archive.settings["Env"])
    with running(folder, program, environment, with_tls=with_tls) as container:
        status, said = container.wait_until(health, HEALTHY)
        trial.check(f"{title} is healthy", said, holds=status == HEALTHY)
        rights = container.read_rights()
        shown = {name: rights[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
        expected = {"Uid": "\t".join([str(UID)] * 4), "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
        trial.check("  as another user, without a capability", shown, holds=shown == expected)
        code = "open('/opt/controlcore/new', 'w')"
        _, said = container.check(["/opt/controlcore/bin/python", "-c", code])
        trial.check("  its root cannot be written", said.splitlines()[-1:], holds="Read-only file system" in said)
        container.send(signal.SIGSTOP)
        status, said = container.check(health)
        trial.check("  frozen it is unhealthy", said.replace("\n", "; "), holds=status == UNHEALTHY)
        container.send(signal.SIGCONT)
        status, said = container.wait_until(health, HEALTHY)
        trial.check("  and healthy again", said, holds=status == HEALTHY)
        status = container.stop()
        last = container.read_log().splitlines()[-1:]
        trial.check("  SIGTERM ends it", f"status {status}, {last}", holds=status == 0)


@contextmanager
def running(folder: Path, program: str, environment: Sequence[str], *, with_tls: bool) -> Iterator[Container]:
    """The program in a container of its own, with a configuration that it can serve with."""
    home = folder / f"{program}-{'tls' if with_tls else 'plain'}"
    config, journal = folder / f"{home.name}.config", folder / f"{home.name}.journal"
    config.mkdir()
    journal.mkdir()
    # The user of the container owns nothing here.
    journal.chmod(0o777)
    _write_config(config, folder / "root", with_tls=with_tls)
    folders: Mapping[str, Path] = {"/config": config, "/journal": journal}
    if program == "controlcore-exporter":
        command = [program, *(["--web.config.file=/config/web.yml"] if with_tls else [])]
    else:
        command = [program, "serve", "--config.file=/config/remediator.yaml"]
    with Container(folder / "root", home, command, environment, folders, writable="/journal") as container:
        yield container


def _write_config(config: Path, root: Path, *, with_tls: bool) -> None:
    (config / "token").write_text("a token of the trial\n", encoding="utf-8")
    (policies,) = root.glob("opt/controlcore/lib/python3*/site-packages/remediations/shipped/policies.yaml")
    shutil.copy(policies, config)
    (config / "web.yml").write_text(WEB if with_tls else "", encoding="utf-8")
    text = REMEDIATOR.replace(", web_config_file: WEB", ", web_config_file: /config/web.yml" if with_tls else "")
    (config / "remediator.yaml").write_text(text, encoding="utf-8")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", str(config / "tls.key"), "-out", str(config / "tls.crt")),
        ],
        check=True,
        capture_output=True,
    )
    for path in config.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    raise SystemExit(main())
