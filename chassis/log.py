"""Structured logs: one JSON object a line for machines, a readable form on a terminal.

`timestamp` is written as 2026-01-02T03:04:05.678+0000, which the DevOps guide's fluentd source reads with its
`time_format %Y-%m-%dT%H:%M:%S.%L%z`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

import structlog

from chassis.clock import Clock, SystemClock, format_timestamp
from chassis.errors import ConfigError, Fault

WAITING_MAX = 10_000


CLOSE_SECONDS = 2.0


MODE = 0o640


TIME_KEY = "timestamp"


RESERVED = {"time": "time_value", TIME_KEY: None}
"""fluentd's JSON parser reads a key `time` as the event's time, and the guide's source removes `timestamp`."""


class LogFile:
    """A log file that is reopened whenever its path leads to another file.

    Writing never waits for the disk. If WAITING_MAX lines wait because the disk is slow, further lines are dropped and
    counted.
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
        """Queues an event; returns at once."""
        try:
            self._lines.put_nowait(line_of(event))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Writes the waiting lines, for at most two seconds."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=CLOSE_SECONDS)
            except queue.Full:
                return
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        """Writes line after line until stopped."""
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
                self.lost += len(lines)  # the disk is full; later lines may fit again
            if lines[-1] is None:
                self._file.close()
                return

    def _follow(self) -> None:
        """Reopens the path when the file was moved, removed or replaced."""
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
        """The file, opened for appending, so that a truncated file is written from its start."""
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        return os.fdopen(number, "a", encoding="ascii")


def line_of(event: Mapping[str, Any]) -> str:
    """One event in the format of the guide's log shipping."""
    renamed = ((RESERVED.get(key, key), value) for key, value in event.items())
    inner = {key: value for key, value in renamed if key is not None}
    outer = {TIME_KEY: event.get(TIME_KEY), "level": event.get("level"), "message": to_json(inner)}
    return to_json(outer)


def to_json(event: Mapping[str, Any]) -> str:
    """The event as ASCII JSON that every parser accepts; NaN and Infinity become text."""
    try:
        return json.dumps(event, default=repr, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return _strange_to_json(event)


def _strange_to_json(event: Mapping[str, Any]) -> str:
    """The same for an event with values that JSON cannot represent."""
    try:
        return json.dumps(_finite(event), default=repr, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        # It refers to itself or is otherwise not JSON: a failing log line would break its caller.
        known = {key: str(event.get(key)) for key in ("event", "level", TIME_KEY)}
        return json.dumps(known | {"written_as": repr(event)})


def _finite(value: Any) -> Any:
    """The same with non-JSON numbers as text, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {_finite(key) if isinstance(key, float) else key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


QUIET_SECONDS = 60.0


KEYS_MAX = 256
"""Most keys that are remembered; the one written longest ago is dropped first."""


class Quiet:
    """Allows one line per key in `seconds`, and counts the suppressed ones."""

    def __init__(self, clock: Clock, seconds: float = QUIET_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._written: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def count(self, key: Hashable) -> int:
        """How often this happened since its last line, including this time; 0 if no line is due."""
        now = self._clock.monotonic()
        at, number = self._written.get(key, (now - self._seconds, 0))
        if now - at < self._seconds:
            self._written[key] = (at, number + 1)
            return 0
        self._written[key] = (now, 0)
        self._written.move_to_end(key)
        if len(self._written) > KEYS_MAX:
            self._written.popitem(last=False)
        return number + 1


if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


TEXT_LENGTH = 200


class _Stamp:
    """Adds `timestamp` from the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = format_timestamp(self._clock.now())
        return event


class _Writer(structlog.PrintLogger):
    """Writes lines; drops a line rather than fail its caller: a full disk or closed pipe must not stop a repair."""

    def msg(self, message: str) -> None:
        """One line, flushed."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class _Copy:
    """Also sends every event to the log file."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        self._file.write(event)
        return event


class _LibraryRecords(logging.Handler):
    """Writes the log records of libraries as our own lines: kind of error and fixed text, each once a minute.

    Full texts and tracebacks may quote a peer's data, even an Authorization header.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._quiet = Quiet(clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line, unless the same was written a moment ago; never raises."""
        with suppress(Exception):
            error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
            place = f"{record.filename}:{record.lineno}"
            if number := self._quiet.count((record.name, place, error)):
                known = {} if error is None else {"error": error}
                if record.args or record.name == "asyncio":  # otherwise the text may contain data from a peer
                    known["text"] = str(record.msg).partition("\n")[0][:TEXT_LENGTH]
                level = max(logging.WARNING, min(record.levelno, logging.CRITICAL))
                get_logger().log(level, "library.logged", library=record.name, place=place, number=number, **known)


def _take_over_libraries(clock: Clock) -> None:
    """Sends the records of all libraries only through our logger."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _LibraryRecords):
            root.removeHandler(handler)
    root.addHandler(_LibraryRecords(clock))


def configure(
    *,
    program: str,
    level: str = "info",
    form: str = "auto",
    clock: Clock | None = None,
    stream: TextIO | None = None,
    file: LogFile | None = None,
) -> None:
    """Sends every log line to `stream` (stderr when None), and to `file` if there is one.

    `form` is `json`, `console` or `auto` (console only when the stream is a terminal).
    """
    out = stream if stream is not None else sys.stderr
    is_console = form == "console" or (form == "auto" and out.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer(colors=is_console and out.isatty())
    if not is_console:
        # ASCII only: an alert's label may contain half a surrogate pair, which no stream can encode.
        renderer = structlog.processors.JSONRenderer(serializer=lambda event, **_options: to_json(event))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _Stamp(clock or SystemClock()),
            structlog.processors.format_exc_info,
            *(() if file is None else (_Copy(file),)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=lambda *_arguments: _Writer(out),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(program=program)
    _take_over_libraries(clock or SystemClock())


def get_logger(**bound: Any) -> FilteringBoundLogger:
    """A logger with these keys bound."""
    logger: FilteringBoundLogger = structlog.get_logger().bind(**bound)
    return logger
