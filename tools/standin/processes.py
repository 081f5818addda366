"""Starting a program of the stand-in as a process, and ending exactly that process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"api": "api.app", "bouncer": "policy.bouncer", "opal": "policy.opal"}
"""Each program of the product, and its module in this package."""
START_TIMEOUT_SECONDS = 30.0
END_TIMEOUT_SECONDS = 5.0
POLL_INTERVAL_SECONDS = 0.02
LAST_WORDS_CHARACTERS = 2000


class StartFailedError(RuntimeError):
    """The program ended, or wrote nothing, before it listened; the text has its exit status and last output."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, wait for it and close its pipes; a second call does nothing."""
    process.kill()
    process.wait(scaled(END_TIMEOUT_SECONDS))
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


@dataclass(frozen=True, slots=True)
class Program:
    """A running program: where it answers, where its faults are switched, and the process itself."""

    component: str
    url: str
    admin_url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def end(self) -> None:
        """End the process and wait for it; a second call does nothing."""
        _end(self.process)


@dataclass(slots=True)
class Starting:
    """A process that may not listen yet."""

    name: str
    process: subprocess.Popen[bytes]
    words: IO[bytes]
    said: bytes = field(default=b"")

    def poll(self) -> Program | None:
        """Return the program once it listens, None while it does not; raises `StartFailedError` when it has ended."""
        if self.process.stdout is None:
            raise StartFailedError(f"{self.name} has no output to read")
        try:
            part = os.read(self.process.stdout.fileno(), 4096)
        except BlockingIOError:
            return None
        self.said += part
        if self.said.endswith(b"\n"):
            self.words.close()
            started = json.loads(self.said)
            return Program(started["component"], started["url"], started["admin_url"], self.process)
        if not part:
            raise StartFailedError(self._end("before it listened"))
        return None

    def end(self) -> None:
        """End the process, whether it listens by now or not."""
        self._end("")

    def _end(self, when: str) -> str:
        """End the process and return a sentence with its exit status and last output."""
        if self.words.closed:
            _end(self.process)
            return ""
        time_left = time.monotonic() + POLL_INTERVAL_SECONDS
        while self.process.poll() is None and time.monotonic() < time_left:
            time.sleep(POLL_INTERVAL_SECONDS / 10)
        _end(self.process)
        self.words.seek(0)
        last = self.words.read().decode(errors="replace")[-LAST_WORDS_CHARACTERS:].strip()
        self.words.close()
        return f"{self.name} ended with status {self.process.returncode} {when}: {last}"


def launch(program: str, arguments: Sequence[str]) -> Starting:
    """Run a program of the product without waiting for it.

    The process ends with this one: its standard input is a pipe that closes when this process ends, however it ends.
    """
    argv = [sys.executable, "-m", f"tools.standin.{MODULES[program]}", "--end-with-parent", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    words = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the program has started or failed)
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=words, env=environment, start_new_session=True)
    if process.stdout is not None:
        os.set_blocking(process.stdout.fileno(), False)
    return Starting(program, process, words)


def start(program: str, arguments: Sequence[str], timeout_seconds: float = START_TIMEOUT_SECONDS) -> Program:
    """Run a program of the product and return once it listens; raises `StartFailedError`."""
    return start_together([(program, arguments)], timeout_seconds)[0]


def start_together(
    commands: Sequence[tuple[str, Sequence[str]]], timeout_seconds: float = START_TIMEOUT_SECONDS
) -> list[Program]:
    """Start several programs at the same time; when one fails, all have ended before `StartFailedError` is raised."""
    waiting = [launch(program, arguments) for program, arguments in commands]
    try:
        return _wait_for_all(waiting, time.monotonic() + scaled(timeout_seconds))
    except BaseException:
        for each in waiting:
            each.end()
        raise


def _wait_for_all(waiting: Sequence[Starting], ends_at: float) -> list[Program]:
    programs: dict[int, Program] = {}
    while len(programs) < len(waiting):
        for number, each in enumerate(waiting):
            if number not in programs and (program := each.poll()) is not None:
                programs[number] = program
        if time.monotonic() > ends_at:
            late = [each.name for number, each in enumerate(waiting) if number not in programs]
            raise StartFailedError(f"{', '.join(late)} did not listen in time")
        time.sleep(POLL_INTERVAL_SECONDS)
    return [programs[number] for number in range(len(waiting))]
