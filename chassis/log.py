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

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


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


def get_logger(**bound: Any) -> FilteringBoundLogger:
    """A logger with these keys bound."""
    logger: FilteringBoundLogger = structlog.get_logger().bind(**bound)
    return logger
