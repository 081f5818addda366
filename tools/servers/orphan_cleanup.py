"""Ends servers and removes folders whose Python parent died without doing so.

One watcher process per parent holds the reading end of a pipe. The parent writes each server and folder to the pipe;
when the parent dies, by any signal, the pipe closes and the watcher ends those that remain. PR_SET_PDEATHSIG would be
shorter, but fires when the *thread* that started the server ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GRACE_SECONDS = 5.0


@dataclass(slots=True)
class _State:
    """The watcher of this process; `owner_pid` tells a forked child that the watcher is its parent's."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    owner_pid: int = 0
    write_end: int = -1


_STATE = _State()


def hold_process(pid: int, last_signal: int) -> None:
    """Has the process ended by `last_signal` (then SIGKILL) should this Python process die first."""
    _note(f"+process {pid} {process_start(pid)} {int(last_signal)}\n")


def release_process(pid: int) -> None:
    """Forgets a process that was ended in the ordinary way."""
    _note(f"-process {pid}\n")


def hold_folder(folder: Path) -> None:
    """Has the folder removed should this Python process die first."""
    _note(f"+folder {folder}\n")


def release_folder(folder: Path) -> None:
    """Forgets a folder that was removed in the ordinary way."""
    _note(f"-folder {folder}\n")


def process_start(pid: int) -> int:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22); 0 when it is gone or a zombie.

    Together with the pid it identifies a process: a number alone may belong to a stranger by now.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def descendants(pid: int) -> tuple[int, ...]:
    """Every living child, grandchild and so on of a process, parents before children (proc(5), stat field 4)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return tuple(found)


def is_stopped(pid: int) -> bool:
    """Whether every thread of the process is stopped or gone (proc(5), stat field 3)."""
    states = []
    for task in Path("/proc", str(pid), "task").glob("*/stat"):
        with suppress(OSError):
            states.append(task.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0])
    return all(state in "TtZX" for state in states)


def send(pid: int, number: int) -> None:
    """Sends a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _note(line: str) -> None:
    with _STATE.lock:
        if _STATE.owner_pid != os.getpid():
            _start_watcher()
        os.write(_STATE.write_end, line.encode())


def _start_watcher() -> None:
    read_end, write_end = os.pipe()
    # Isolated (-I) and without site (-S): the watcher needs the standard library only and starts in 15 ms.
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
        {},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, read_end, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )
    os.close(read_end)
    _STATE.owner_pid = os.getpid()
    _STATE.write_end = write_end


def watch() -> None:
    """Reads entries from standard input until its writer is gone, then ends what is left."""
    os.chdir("/")
    processes: dict[int, tuple[int, int]] = {}
    folders: dict[str, None] = {}
    for line in sys.stdin:
        what, _, rest = line.strip().partition(" ")
        if what == "+process":
            pid, start, number = (int(part) for part in rest.split())
            processes[pid] = (start, number)
        elif what == "-process":
            processes.pop(int(rest), None)
        elif what == "+folder":
            folders[rest] = None
        elif what == "-folder":
            folders.pop(rest, None)
    _end({pid: number for pid, (start, number) in processes.items() if start and process_start(pid) == start})
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(signals: dict[int, int]) -> None:
    families = {pid: (pid, *descendants(pid)) for pid in signals}
    starts = {member: process_start(member) for family in families.values() for member in family}
    for pid, family in families.items():
        for member in family:
            send(member, signal.SIGCONT)
        send(pid, signals[pid])
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(start and process_start(pid) == start for pid, start in starts.items()):
        time.sleep(0.05)
    for pid, start in starts.items():
        if start and process_start(pid) == start:
            send(pid, signal.SIGKILL)


if __name__ == "__main__":
    watch()
