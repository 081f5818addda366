"""Starting a program of the stand-in as a process, and ending exactly that process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 30.0
END_TIMEOUT_SECONDS = 5.0


class StartFailedError(RuntimeError):
    """The program ended, or said nothing, before it was listening; the text holds its exit status and last words."""


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
        self.process.kill()
        self.process.wait(END_TIMEOUT_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def start(module: str, arguments: Sequence[str], timeout_seconds: float = START_TIMEOUT_SECONDS) -> Program:
    """Run `python -m demo.standin.<module>` and return once it listens; raises `StartFailedError`.

    The process ends with this one: its standard input is a pipe that closes when this process ends, however it ends.
    """
    argv = [sys.executable, "-m", f"demo.standin.{module}", "--end-with-parent", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=environment,
            start_new_session=True,
        )
        line = _read_line(process, timeout_seconds)
        if not line:
            process.kill()
            status = process.wait()
            words.seek(0)
            last = words.read().decode(errors="replace")[-2000:]
            Program(module, "", "", process).end()
            raise StartFailedError(f"{module} ended with status {status} before it listened: {last}")
    started = json.loads(line)
    return Program(started["component"], started["url"], started["admin_url"], process)


def _read_line(process: subprocess.Popen[bytes], timeout_seconds: float) -> bytes:
    """Return the first line of the process's output, or nothing when it ends or is late."""
    if process.stdout is None:
        return b""
    line = b""
    ends_at = time.monotonic() + timeout_seconds
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, ends_at - time.monotonic()))
        part = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not part:
            return b""
        line += part
    return line
