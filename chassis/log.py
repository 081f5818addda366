"""Structured logs: one JSON object a line for machines, a readable form on a terminal.

`timestamp` is written as 2026-01-02T03:04:05.678+0000, which the DevOps guide's fluentd source reads with its
`time_format %Y-%m-%dT%H:%M:%S.%L%z`.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from chassis.clock import Clock, SystemClock
from chassis.logfile import LogFile, to_json
from chassis.quiet import Quiet

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


TEXT_LENGTH = 200


def format_timestamp(unix_seconds: float) -> str:
    """The instant as the guide's fluentd expects it, in UTC with milliseconds."""
    instant = datetime.fromtimestamp(unix_seconds, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}+0000"


class _Stamp:
    """Adds `timestamp` from the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = format_timestamp(self._clock.now())
        return event


class _Writer(structlog.PrintLogger):
    """Writes lines, and loses one rather than failing its caller: a full disk or a closed pipe stops no repair."""

    def msg(self, message: str) -> None:
        """One line, flushed."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class _Copy:
    """Hands every event to the log file on its way to the stream."""

    def __init__(self, file: LogFile) -> None:
        self._file = file

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        self._file.write(event)
        return event


class _LibraryRecords(logging.Handler):
    """Writes what libraries log as our own lines: the kind of error and the fixed part of the text, once a minute each.

    Their full texts and tracebacks quote what a peer sent, an Authorization header too.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._quiet = Quiet(clock)

    def emit(self, record: logging.LogRecord) -> None:
        """One line, unless the same was written a moment ago; never raises."""
        with suppress(Exception):
            error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
            place = f"{record.filename}:{record.lineno}"
            if number := self._quiet.count((record.name, place, error)):
                known = {} if error is None else {"error": error}
                if record.args or record.name == "asyncio":  # otherwise the text may be made of what a peer sent
                    known["text"] = str(record.msg).partition("\n")[0][:TEXT_LENGTH]
                level = max(logging.WARNING, min(record.levelno, logging.CRITICAL))
                get_logger().log(level, "library.logged", library=record.name, place=place, number=number, **known)


def _take_over_libraries(clock: Clock) -> None:
    """Sends the records of all libraries through our logger, and through nothing else."""
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
        # ASCII only: an alert's label may hold half a surrogate pair, which no stream can encode.
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
