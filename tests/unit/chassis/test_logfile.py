from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from chassis import log
from chassis.clock import format_timestamp
from chassis.errors import ConfigError
from chassis.log import LogFile, line_of
from tests.fakes.clock import ManualClock

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f%z"
"""The guide's `%Y-%m-%dT%H:%M:%S.%L%z`: Ruby's %L is a fraction of a second of any length, Python's is %f."""


def refuse(text: str) -> None:
    raise AssertionError(f"{text} is not JSON; a real fluentd makes an error event of it")


def fluentd(line: str) -> dict[str, Any]:
    """A line parsed like the guide's source and parser filter; raises where fluentd would emit an error event."""
    record = json.loads(line, parse_constant=refuse)
    assert isinstance(record, dict)
    datetime.strptime(record.pop("timestamp"), TIME_FORMAT).astimezone(UTC)
    parsed = json.loads(record["message"], parse_constant=refuse)
    assert isinstance(parsed, dict)
    assert "time" not in parsed, "the parser would read it as the time of the event"
    return record | parsed


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.001)


def event(**fields: Any) -> dict[str, Any]:
    return {"event": "x", "level": "info", "timestamp": format_timestamp(1e9), **fields}


def test_line_passes_the_guides_two_parsers() -> None:
    assert fluentd(line_of(event(event="health.changed", faults=["a"]))) == {
        "level": "info",
        "message": '{"event": "health.changed", "level": "info", "faults": ["a"]}',
        "event": "health.changed",
        "faults": ["a"],
    }


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.text(), st.floats(), st.none(), st.lists(st.integers()))))
def test_line_of_anything_is_one_line_that_passes(fields: dict[str, Any]) -> None:
    line = line_of(event() | {key: value for key, value in fields.items() if key != "timestamp"})
    assert "\n" not in line
    fluentd(line)


def test_key_that_would_be_the_events_time_is_renamed() -> None:
    assert fluentd(line_of(event(time="noon")))["time_value"] == "noon"


def test_value_that_json_does_not_know_is_written_as_its_representation() -> None:
    assert fluentd(line_of(event(path=Path("/x"))))["path"] == "PosixPath('/x')"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_have_is_written_as_text_at_any_depth(number: float) -> None:
    found = fluentd(line_of(event(age=number, deep={"values": [1.5, number]})))
    assert (found["age"], found["deep"]) == (repr(number), {"values": [1.5, repr(number)]})


def test_every_line_goes_to_the_stream_and_to_the_file(tmp_path: Path) -> None:
    path, stream = tmp_path / "exporter.log", io.StringIO()
    file = LogFile(path)
    try:
        log.configure(program="test", form="json", clock=ManualClock(), stream=stream, file=file)
        log.get_logger().info("thing.happened", size_bytes=5)
    finally:
        file.close()
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    assert json.loads(stream.getvalue())["event"] == "thing.happened"
    assert fluentd(path.read_text())["size_bytes"] == 5


def test_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "exporter.log", tmp_path / "exporter.log.1"
    file = LogFile(path)
    file.write(event(number=1))
    until(lambda: path.read_text().count("\n") == 1)
    path.rename(old)
    file.write(event(number=2))
    file.close()
    assert [fluentd(found.read_text())["number"] for found in (old, path)] == [1, 2]


def test_truncated_file_is_written_from_its_start(tmp_path: Path) -> None:
    """`copytruncate` of logrotate: a writer that remembered its place would leave a hole of zeros."""
    path, copy = tmp_path / "exporter.log", tmp_path / "copy"
    file = LogFile(path)
    file.write(event(number=1))
    until(lambda: path.read_text().count("\n") == 1)
    shutil.copy(path, copy)
    os.truncate(path, 0)
    file.write(event(number=2))
    file.close()
    assert fluentd(path.read_text())["number"] == 2


def test_lines_are_lost_and_counted_rather_than_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.log.WAITING_MAX", 5)
    file = LogFile(tmp_path / "exporter.log")
    file._lines.put(None)
    until(lambda: not file._thread.is_alive())
    for number in range(8):
        file.write(event(number=number))
    assert file.lost == 3


def test_folder_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"log\.file: cannot write .*No such file"):
        LogFile(tmp_path / "nowhere" / "exporter.log")
