"""Starts a server in its own process group, waits for it, freezes it and ends it by its own pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tools.servers import orphan_cleanup
from tools.slowness import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG_TAIL_LINES = 30
POLL_SECONDS = 0.02
FREEZE_SECONDS = 10.0


class ServerError(RuntimeError):
    """A server did not start, answer or end; the message carries the tail of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: its arguments, an account other than ours, additions to the environment."""

    arguments: tuple[str, ...]
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None
    # The signal that ends the server cleanly, and how long it may take before SIGKILL.
    stop_signal: int = signal.SIGTERM
    grace_seconds: float = 10.0


class Process:
    """One running program, with its output in a log file."""

    def __init__(self, command: Command, log_path: Path) -> None:
        """Starts the program at once; it dies with this Python process, even if that is killed."""
        self.command = command
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A separate group: Ctrl-C at the terminal reaches us, and we end it in order.
                process_group=0,
                env={**os.environ, **command.environment},
                cwd=command.working_directory,
                user=command.user,
                group=command.user,
                extra_groups=None if command.user is None else [],
            )
        orphan_cleanup.hold_process(self.pid, command.stop_signal)

    @property
    def pid(self) -> int:
        """The number of the process we started (its children have others)."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended; a frozen one counts as running."""
        return self._popen.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def family(self) -> tuple[int, ...]:
        """The process and all its descendants at this moment."""
        return (self.pid, *orphan_cleanup.descendants(self.pid))

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Returns once the probe is true; ServerError when the program ends first or the scaled time is up."""
        bound = scaled(timeout_seconds)
        deadline = time.monotonic() + bound
        while not is_ready():
            if not self.is_running:
                raise ServerError(f"{self.command.arguments[0]} ended with {self.exit_status}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.command.arguments[0]} not ready after {bound:g} s\n{self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def freeze(self) -> None:
        """Stops the process and every descendant (SIGSTOP): connections stay open and nothing answers.

        Returns once every thread has stopped: on a busy machine the threads of a large program continue for a while.
        """
        frozen: set[int] = set()
        # A child may be born between the listing and its parent's stop: list again until nothing is new.
        while fresh := [pid for pid in self.family() if pid not in frozen]:
            for pid in fresh:
                orphan_cleanup.send(pid, signal.SIGSTOP)
                frozen.add(pid)
        bound = scaled(FREEZE_SECONDS)
        deadline = time.monotonic() + bound
        while not all(orphan_cleanup.is_stopped(pid) for pid in frozen):
            if time.monotonic() > deadline:
                raise ServerError(f"{self.command.arguments[0]} did not stop within {bound:g} s of SIGSTOP")
            time.sleep(POLL_SECONDS)

    def thaw(self) -> None:
        """Lets a frozen process and its descendants continue; harmless on one that runs."""
        if self.is_running:
            for pid in reversed(self.family()):
                orphan_cleanup.send(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ends the process: its stop signal, then SIGKILL; returns when it and its descendants are gone."""
        self._end(self.command.stop_signal)

    def kill(self) -> None:
        """Ends the process at once and without its own clean-up (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        """The last lines of the log."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _end(self, number: int) -> None:
        starts = {pid: orphan_cleanup.process_start(pid) for pid in self.family()} if self.is_running else {}
        if starts:
            self.thaw()
            orphan_cleanup.send(self.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(scaled(self.command.grace_seconds))
        for pid, start in starts.items():
            # The start time too: once its parent is gone, a child's number may pass to a stranger.
            if start and orphan_cleanup.process_start(pid) == start:
                orphan_cleanup.send(pid, signal.SIGKILL)
        self._popen.wait()
        orphan_cleanup.release_process(self.pid)


def make_folder(name: str) -> Path:
    """A new temporary folder that is removed even if this Python process is killed."""
    folder = Path(tempfile.mkdtemp(prefix=f"controlcore-{name}-"))
    orphan_cleanup.hold_folder(folder)
    return folder


def remove_folder(folder: Path) -> None:
    """Removes a folder of `make_folder` with everything in it."""
    shutil.rmtree(folder, ignore_errors=True)
    orphan_cleanup.release_folder(folder)


class Server(ABC):
    """One server: a folder, a process in it, and the same verbs for every kind.

    `open` and `close` (or `with`) make and remove the whole; `stop`, `start` and `kill` end and begin the process
    on the same folder and port, as an outage and its end would; `freeze` and `thaw` hold it in place.
    """

    name = "server"
    ready_timeout_seconds = 30.0

    def __init__(self, folder: Path | None = None) -> None:
        """Uses the folder given and leaves it behind, or makes a temporary one and removes it."""
        self._given_folder = folder
        self._folder: Path | None = None
        self._process: Process | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Writes what the server needs into its folder; runs once, in `open`."""

    @abstractmethod
    def describe(self) -> Command:
        """The command that starts the server."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers now."""

    @property
    def folder(self) -> Path:
        """Where the server's files are; ServerError before `open`."""
        if self._folder is None:
            raise ServerError(f"{self.name} is not open")
        return self._folder

    @property
    def log_path(self) -> Path:
        """The file with everything the server printed."""
        return self.folder / f"{self.name}.log"

    @property
    def process(self) -> Process:
        """The running process; ServerError before `start`."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the process lives (frozen counts)."""
        return self._process is not None and self._process.is_running

    def open(self) -> Self:
        """Makes the folder, starts the server and returns when it is ready; leaves nothing if that fails."""
        self._folder = self._given_folder or make_folder(self.name)
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends the server and removes its folder; fine on one that is closed."""
        self.stop()
        if self._folder is not None and self._given_folder is None:
            remove_folder(self._folder)
        self._folder = None

    def start(self) -> None:
        """Starts the process and waits until it is ready; nothing happens if it runs."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Starts the process without waiting for it."""
        if not self.is_running:
            self._process = Process(self.describe(), self.log_path)

    def wait_ready(self) -> None:
        """Returns when the server answers; ServerError when it ended or takes too long."""
        self.process.wait_until(self.is_ready, self.ready_timeout_seconds)

    def stop(self) -> None:
        """Ends the process cleanly; the folder stays, `start` brings it back on the same port."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Ends the process as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Holds the process and all its children: nothing answers, no connection closes. Pair with `thaw`."""
        self.process.freeze()

    def thaw(self) -> None:
        """Continues after `freeze`; fine on a server that runs or ended."""
        if self._process is not None:
            self._process.thaw()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError):
            self.thaw()
        self.close()
