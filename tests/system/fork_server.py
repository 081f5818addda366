"""Starts remediators by forking a process with all imports done, so that a start costs no import.

`python -m tests.system.fork_server SOCKET` listens; each request is a line of JSON, each answer the number of a new
process that runs the program from its first line on. The children are separate processes: nothing is shared after the
fork, and they are killed and frozen like any other.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fakes.running_remediator import RunningRemediator
from tools.servers import orphan_cleanup
from tools.servers.process import POLL_SECONDS, Command, Process, Server
from tools.slowness import scaled

ROOT = Path(__file__).parents[2]


class ForkServer(Server):
    """The process that forks."""

    name = "fork-server"

    @property
    def socket_path(self) -> Path:
        return self.folder / "socket"

    def prepare(self) -> None:
        """Nothing to write."""

    def describe(self) -> Command:
        return Command(
            (sys.executable, "-m", "tests.system.fork_server", str(self.socket_path)), working_directory=ROOT
        )

    def is_ready(self) -> bool:
        return self.socket_path.exists()

    def fork(self, command: Command, log_path: Path) -> ForkedProcess:
        """A process that runs the remediator with the arguments behind `-m remediations`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket_path))
            request = {"arguments": command.arguments[3:], "log": str(log_path)}
            connection.sendall(json.dumps(request).encode() + b"\n")
            return ForkedProcess(int(connection.makefile().readline()), command, log_path)


class ForkedProcess(Process):
    """A forked process, with the verbs of every other."""

    def __init__(self, pid: int, command: Command, log_path: Path) -> None:
        self.command = command
        self.log_path = log_path
        self._pid = pid
        self._start = orphan_cleanup.process_start(pid)
        orphan_cleanup.hold_process(pid, command.stop_signal)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def is_running(self) -> bool:
        return self._start != 0 and orphan_cleanup.process_start(self._pid) == self._start

    @property
    def exit_status(self) -> int | None:
        return None  # its parent is the fork server

    def _end(self, number: int) -> None:
        if self.is_running:
            self.thaw()
            orphan_cleanup.send(self._pid, number)
        deadline = time.monotonic() + scaled(self.command.grace_seconds)
        while self.is_running:
            if time.monotonic() > deadline:
                orphan_cleanup.send(self._pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS / 10)
        orphan_cleanup.release_process(self._pid)


class ForkedRemediator(RunningRemediator):
    """A remediator that is started by forking."""

    def __init__(self, fork_server: ForkServer, policies: str, settings: dict[str, Any]) -> None:
        super().__init__(policies, settings)
        self._fork_server = fork_server

    def launch(self) -> None:
        if not self.is_running:
            self._process = self._fork_server.fork(self.describe(), self.log_path)


def serve(path: str) -> None:
    """Forks at every request, until killed."""
    import chassis.kubernetes.client  # noqa: PLC0415, F401 - imported late by the program

    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                request = json.loads(connection.makefile().readline())
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    connection.close()
                    _live(request)
                connection.sendall(f"{pid}\n".encode())


def _live(request: dict[str, Any]) -> None:
    """The child's work, to its end: the program, as `python -m remediations` would run it."""
    from remediations.__main__ import main  # noqa: PLC0415 - imported by the parent

    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, goal in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, goal)
    status = 1
    try:
        main(request["arguments"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter would print it, which os._exit below would hide
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
