"""Writes log lines into a file that others rotate, from a thread of its own.

A line passes the whole fluentd configuration of the DevOps guide: its source reads the line as JSON with the time in
`timestamp`, and its parser filter reads the field `message` as JSON again, so `message` holds the event as JSON text.
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from chassis.errors import ConfigError, Fault

WAITING_MAX = 10_000
CLOSE_SECONDS = 2.0
MODE = 0o640
TIME_KEY = "timestamp"
RESERVED = {"time": "time_value", TIME_KEY: None}
"""fluentd's JSON parser takes a key `time` for the event's time, and the guide's source takes `timestamp` away."""


class LogFile:
    """A file that is opened again whenever its path leads to another one. Writing never waits for the disk.

    When the disk is slower than the program for so long that WAITING_MAX lines wait, further ones are lost and counted.
    """

    def __init__(self, path: Path, setting: str = "log.file") -> None:
        """Opens the file; raises ConfigError when that fails."""
        self.lost = 0
        self._path = path
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_MAX)
        try:
            self._file = self._open()
        except OSError as error:
            raise ConfigError((Fault(setting, f"cannot write {path}: {error.strerror}"),)) from error
        self._thread = threading.Thread(target=self._run, name="log.file", daemon=True)
        self._thread.start()

    def write(self, event: Mapping[str, Any]) -> None:
        """Takes an event over; returns at once."""
        try:
            self._lines.put_nowait(line_of(event))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Writes what waits, for at most two seconds."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=CLOSE_SECONDS)
            except queue.Full:
                return
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        """Writes line after line until the end is asked for."""
        while True:
            lines = [self._lines.get()]
            while lines[-1] is not None and not self._lines.empty():
                lines.append(self._lines.get())
            text = "".join(f"{line}\n" for line in lines if line is not None)
            try:
                self._follow()
                self._file.write(text)
                self._file.flush()
            except (OSError, ValueError):
                self.lost += len(lines)  # a full disk; the next lines may find room again
            if lines[-1] is None:
                self._file.close()
                return

    def _follow(self) -> None:
        """Opens the path again when it was moved away, removed or replaced."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        here = os.fstat(self._file.fileno())
        if there is None or (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            following = self._open()
            self._file.close()
            self._file = following

    def _open(self) -> IO[str]:
        """The file, for appending: a file that is truncated in place is then written from its start."""
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        return os.fdopen(number, "a", encoding="ascii")


def line_of(event: Mapping[str, Any]) -> str:
    """One event as the guide's log shipping takes it."""
    renamed = ((RESERVED.get(key, key), value) for key, value in event.items())
    inner = {key: value for key, value in renamed if key is not None}
    outer = {TIME_KEY: event.get(TIME_KEY), "level": event.get("level"), "message": to_json(inner)}
    return to_json(outer)


def to_json(event: Mapping[str, Any]) -> str:
    """The event as ASCII JSON that every parser takes: NaN and Infinity, which JSON does not have, as text."""
    try:
        return json.dumps(event, default=repr, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return _strange_to_json(event)


def _strange_to_json(event: Mapping[str, Any]) -> str:
    """The same for an event that JSON has no words for as it is."""
    try:
        return json.dumps(_finite(event), default=repr, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        # It refers to itself, or is no JSON in some other way: a log line that fails would fail who wrote it.
        known = {key: str(event.get(key)) for key in ("event", "level", TIME_KEY)}
        return json.dumps(known | {"written_as": repr(event)})


def _finite(value: Any) -> Any:
    """The same with numbers that JSON does not have as their representation, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {_finite(key) if isinstance(key, float) else key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
