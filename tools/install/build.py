"""Builds the pinned Go programs once into a cache outside the tree; runs on the standard library alone.

`python3 -m tools.install.build [--only NAME …] [--list]`. A program is looked for in the cache, then on PATH (only in
the pinned version), then built. The cache key covers everything that decides the outcome, so nothing is built twice
and nothing stale is used.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.install.cache import cache_folder, locked
from tools.install.compiler import ToolError, find_compiler
from tools.install.programs import ON_DEMAND, PROGRAMS, Program
from tools.servers import orphan_cleanup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODULES_FOLDER = Path(__file__).parent / "go"
# The figures of tools.install.programs were measured on this many cores.
MEASURED_CORES = 2
PROGRESS_SECONDS = 60.0
VERSION_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a program was found, or that it must be built, and why."""

    program: Program
    path: Path
    is_present: bool
    reason: str


def cache_key(program: Program, compiler: str) -> str:
    """A hash over the module's pins, checksums and sources, the flags and the compiler."""
    digest = hashlib.sha256()
    folder = MODULES_FOLDER / program.module
    for path in sorted([folder / "go.mod", folder / "go.sum", *folder.glob("*.go")]):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    digest.update("\0".join([program.package, *program.flags, compiler]).encode())
    return digest.hexdigest()[:20]


def choose(program: Program) -> Choice:
    """Says where the program is, or will be, without building it."""
    path = cache_folder() / cache_key(program, find_compiler(MODULES_FOLDER / program.module).version) / program.name
    if path.is_file():
        return Choice(program, path, is_present=True, reason="cached")
    found = _find_on_path(program)
    if found is not None:
        return Choice(program, found, is_present=True, reason=f"on PATH in the pinned version {program.version}")
    return Choice(program, path, is_present=False, reason="not in the cache")


@functools.cache
def locate(name: str) -> Path:
    """The path of a program that is built or on PATH in the pinned version; ToolError names the command otherwise."""
    choice = choose(find_program(name))
    if not choice.is_present:
        alone = f"`python3 -m tools.install.build --only {name}` (about {_say(estimate(choice.program))})"
        raise ToolError(f"{name} is not built: run {alone}, or `make tools` for all programs")
    return choice.path


def find_program(name: str) -> Program:
    """The tables' entry of that name."""
    every = (*PROGRAMS, *ON_DEMAND)
    for program in every:
        if program.name == name:
            return program
    raise ToolError(f"no program {name!r}; there are: {', '.join(program.name for program in every)}")


def build_all(names: Sequence[str], report: Callable[[str], None]) -> dict[str, Path]:
    """Brings the named programs into being, or all that tests need; see `build_programs`."""
    return build_programs([find_program(name) for name in names] or list(PROGRAMS), report)


def build_programs(wanted: Sequence[Program], report: Callable[[str], None]) -> dict[str, Path]:
    """Finds or builds one program after another (the compiler uses all cores by itself); returns the paths by name.

    `report` gets a line per program, and every minute of building one with the time left, from another thread.
    """
    paths: dict[str, Path] = {}
    for index, program in enumerate(wanted):
        choice = choose(program)
        prefix = f"[{index + 1}/{len(wanted)}] {program.name}"
        if choice.is_present:
            report(f"{prefix}: {choice.reason}, {choice.path}")
        else:
            later = sum(estimate(rest) for rest in wanted[index + 1 :] if not choose(rest).is_present)
            with locked(choice.path, partial(report, f"{prefix}: another process builds it, waiting")):
                _build_missing(choice, prefix, later, report)
        paths[program.name] = choice.path
    return paths


def estimate(program: Program) -> float:
    """Seconds a cold build takes on this machine, from the figure measured on two cores."""
    return program.cold_seconds * MEASURED_CORES / max(1, min(os.cpu_count() or 1, 8))


def _build_missing(choice: Choice, prefix: str, later_seconds: float, report: Callable[[str], None]) -> None:
    """Builds into a temporary file and renames it: a half-written program is never found."""
    if choice.path.is_file():
        report(f"{prefix}: built by another process meanwhile, {choice.path}")
        return
    find_compiler(MODULES_FOLDER / choice.program.module).bring(report)
    started = time.monotonic()
    expected = estimate(choice.program)
    report(f"{prefix}: {choice.reason}, building {choice.program.version}, about {_say(expected)}")
    for stale in choice.path.parent.glob(".building-*"):
        # We hold the lock: the process that left this was killed.
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=choice.path.parent, prefix=".building-") as folder:
        product = Path(folder) / choice.program.name
        with _ticking(lambda: report(f"{prefix}: {_say_left(time.monotonic() - started, expected, later_seconds)}")):
            _compile(choice.program, product)
        product.rename(choice.path)
    size = choice.path.stat().st_size / 1e6
    report(f"{prefix}: built in {_say(time.monotonic() - started)}, {size:.0f} MB, {choice.path}")


def _compile(program: Program, product: Path) -> None:
    folder = MODULES_FOLDER / program.module
    go = find_compiler(folder)
    command = [str(go.path), "build", "-mod=readonly", *program.flags, "-o", str(product), program.package]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=go.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as compiler:
        # Should we be killed, the compiler and its children go too.
        orphan_cleanup.hold_process(compiler.pid, signal.SIGKILL)
        try:
            output, _ = compiler.communicate()
        except BaseException:
            # The compiler's children are in its group: an interrupted build leaves none of them behind.
            os.killpg(compiler.pid, signal.SIGKILL)
            raise
        finally:
            orphan_cleanup.release_process(compiler.pid)
    if compiler.returncode != 0:
        tail = "\n".join(line for line in output.splitlines() if not line.startswith("go: downloading"))
        raise ToolError(f"{program.name}: {' '.join(command)} failed in {folder}\n{tail}")


@contextmanager
def _ticking(tick: Callable[[], None]) -> Iterator[None]:
    done = threading.Event()

    def run() -> None:
        while not done.wait(PROGRESS_SECONDS):
            tick()

    thread = threading.Thread(target=run, name="build-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _find_on_path(program: Program) -> Path | None:
    """The program of that name on PATH, if it says it is the pinned version; any other version does not count."""
    found = shutil.which(program.name) if program.version_arguments else None
    if found is None:
        return None
    try:
        answer = subprocess.run(
            [found, *program.version_arguments],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = (answer.stdout + answer.stderr).replace(",", " ").replace('"', " ").split()
    is_pinned = {program.version, program.version.removeprefix("v")} & set(words)
    return Path(found) if is_pinned else None


def _say_left(elapsed: float, expected: float, later: float) -> str:
    if elapsed >= expected:
        return f"{_say(elapsed)} so far, longer than measured ({_say(expected)}); then about {_say(later)} for the rest"
    left = expected - elapsed
    return f"{_say(elapsed)} so far, about {_say(left)} left; {_say(left + later)} for all"


def _say(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 90 else f"{whole // 60} min {whole % 60} s"


def _report(line: str) -> None:
    print(line, flush=True)


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what is missing, or lists; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="tools.install.build", description="Build the pinned programs into the cache."
    )
    parser.add_argument(
        "--only", action="extend", nargs="+", metavar="NAME", default=[], help="these programs instead of all"
    )
    parser.add_argument("--list", action="store_true", help="say what is there and what would be built, and stop")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if options.list:
            for program in [find_program(name) for name in options.only] or PROGRAMS:
                choice = choose(program)
                cost = "" if choice.is_present else f"; building takes about {_say(estimate(program))}"
                _report(f"{program.name:13} {program.version:8} {choice.reason}{cost}, {choice.path}")
        else:
            build_all(options.only, _report)
    except ToolError as error:
        print(f"tools.install.build: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tools.install.build: interrupted; what was built stays in the cache", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
