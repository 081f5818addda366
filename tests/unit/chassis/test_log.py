from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from aiohttp import web
from pydantic import SecretStr

from chassis import log
from chassis.clock import format_timestamp
from chassis.http.server import serving
from tests.fakes.clock import START_UNIX_SECONDS, ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _own_structlog() -> Iterator[None]:
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(**options: Any) -> io.StringIO:
    stream = io.StringIO()
    log.configure(program="exporter", clock=ManualClock(), stream=stream, **options)
    return stream


def test_line_is_one_json_object_in_the_guides_format() -> None:
    stream = configured()
    log.get_logger(collector="api").info("scrape.finished", duration_seconds=0.25)
    assert json.loads(stream.getvalue()) == {
        "event": "scrape.finished",
        "level": "info",
        "program": "exporter",
        "collector": "api",
        "duration_seconds": 0.25,
        "timestamp": "2026-01-02T03:04:05.678+0000",
    }
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("instant", [START_UNIX_SECONDS, 0.0, 1_767_323_045.0, 1_767_323_045.999_999])
def test_timestamp_reads_back_with_the_guides_time_format(instant: float) -> None:
    """The %L of fluentd are three digits of milliseconds, which strptime knows as %f."""
    text = format_timestamp(instant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", text)
    assert abs(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() - instant) < 0.001


def test_hostile_value_stays_one_line_of_json() -> None:
    stream = configured()
    hostile = 'a\n{"event":"forged"}\u2028\x1b[31m\ud800"'
    log.get_logger().warning("alert.received", label=hostile)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["label"] == hostile
    assert line.isascii()


def test_exception_is_a_key_of_the_same_line() -> None:
    stream = configured()
    try:
        int("x")
    except ValueError:
        log.get_logger().exception("scrape.failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_secret_value_is_not_written() -> None:
    stream = configured()
    log.get_logger().error("connection.failed", url=SecretStr("postgresql://u:hunter2@h/d"))
    assert "hunter2" not in stream.getvalue()


def test_line_below_the_level_is_not_written() -> None:
    stream = configured(level="warning")
    log.get_logger().info("scrape.finished")
    assert not stream.getvalue()


def test_console_form_is_readable_and_no_json() -> None:
    stream = configured(form="console")
    log.get_logger().info("scrape.finished", collector="api")
    assert "scrape.finished" in stream.getvalue()
    assert "collector=api" in stream.getvalue()
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        json.loads(stream.getvalue())


def test_stream_that_cannot_be_written_loses_the_line_and_fails_nobody():
    stream = configured()
    stream.close()

    log.get_logger().error("scrape.failed")


SECRET = "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ=="


async def test_bad_request_is_one_line_of_ours_without_what_the_peer_sent() -> None:
    """M10: aiohttp logged the parser's error with a traceback and an Authorization value, before authentication."""
    stream = configured()
    app = web.Application()
    async with serving(app, "127.0.0.1", 0, drain_seconds=0.1) as (host, port):
        for _ in range(20):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET / HTTP/1.1\r\nAuthorization: {SECRET}\x01\r\nA\x00: b\r\n\r\n".encode())
            assert b" 400 " in await reader.read()
            writer.close()
            await writer.wait_closed()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["library"]) for line in lines] == [("library.logged", "aiohttp.server")]
    assert lines[0]["error"] == "BadHttpMessage" or lines[0]["error"].startswith(("Bad", "Invalid"))
    assert SECRET[6:] not in stream.getvalue()
    assert "Traceback" not in stream.getvalue()


def test_library_record_shows_its_fixed_text_and_no_values() -> None:
    """M10: the values of any library's record may be what a peer sent."""
    stream = configured()
    error = ValueError(SECRET)
    logging.getLogger("somebody").error("cannot read %s", SECRET, exc_info=error)
    logging.getLogger("somebody").error(f"made of {SECRET}")  # noqa: G004 - what libraries do
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: {SECRET}")  # noqa: G004 - so does it
    logging.getLogger("somebody").info("not written")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["library"], line.get("text"), line.get("error")) for line in lines] == [
        ("somebody", "cannot read %s", "ValueError"),
        ("somebody", None, None),
        ("asyncio", "Task exception was never retrieved", None),
    ]
    assert SECRET[6:] not in stream.getvalue()
