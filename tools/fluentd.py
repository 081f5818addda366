"""Runs the DevOps guide's fluentd configuration over lines of `log.file`, in your fluentd.

`python -m tools.fluentd --command "fluentd"`, or from a checkout: `--command "ruby -I DIR/lib DIR/bin/fluentd"`.
fluentd is in no registry that `make tools` may use, so this is a separate command and not part of `make test`; the unit
tests restate its two parsers. Seen with fluentd 1.15.3 on Ruby 3.1 with Debian's gems.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chassis.clock import format_timestamp
from chassis.log import LogFile

LINES = 2000
SETTLE_SECONDS = 30.0
COMPLAINTS = ("[error]", "[fatal]", "error event")
"""Not every warning: one without the gem `oj` warns that it is not there."""
HARD: tuple[Any, ...] = (
    *(
        "",
        "one line\nand the next",
        "tab\tand \x00 and \x7f",
        '{"a": 1}',
        '"',
        "\\",
        "\u2028",
        "\ud800",
        "\U0001d11e",
        "x" * 10_000,
    ),
    *(math.nan, math.inf, -math.inf, 1e308, 2**70, None, True, -0.0),
    *([], [math.nan, "a"], {"deep": {"deeper": [math.inf]}}, Path("/var/log")),
)
"""Values that a log line may have to carry; keys are made of their texts too."""
CONFIGURATION = """
<source>
  @type tail
  path {folder}/log/*.log
  pos_file {folder}/pos
  tag controlcore.*
  format json
  time_key timestamp
  time_format %Y-%m-%dT%H:%M:%S.%L%z
  read_from_head true
</source>
<filter controlcore.**>
  @type parser
  key_name message
  reserve_data true
  <parse>
    @type json
  </parse>
</filter>
<match controlcore.**>
  @type stdout
  <format>
    @type json
  </format>
</match>
<label @ERROR>
  <match **>
    @type stdout
    <format>
      @type single_value
      message_key error-event
      add_newline true
    </format>
  </match>
</label>
"""
"""The guide's source and filter as printed, with our folder and from the head of the file; what goes to Elasticsearch
there goes to the standard output here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """fluentd's output."""

    written: int
    numbers: tuple[int, ...]
    """`number` of every record, in the order of the output."""
    problems: tuple[str, ...]
    """fluentd's own warnings and errors."""

    @property
    def is_good(self) -> bool:
        """Whether every line came out once, with its own fields, and nothing was complained of."""
        return sorted(self.numbers) == list(range(self.written)) and not self.problems


def events() -> Iterator[dict[str, Any]]:
    """Log events with every hard value as a value and as a key, and keys that the parsers take for their own."""
    for number in range(LINES):
        value, other = HARD[number % len(HARD)], HARD[(number // len(HARD)) % len(HARD)]
        yield {
            "event": "line.written",
            "level": "info",
            "timestamp": format_timestamp(1e9 + number / 1000),
            "value": value,
            str(other): value,
            **({"time": value, "message": value} if number % 3 == 0 else {}),
            "number": number,
        }


def play(command: Sequence[str]) -> Outcome:
    """Writes the lines and lets fluentd read them."""
    with tempfile.TemporaryDirectory(prefix="controlcore-fluentd-") as name:
        folder = Path(name)
        (folder / "log").mkdir()
        file = LogFile(folder / "log" / "exporter.log")
        for event in events():
            file.write(event)
        file.close()
        (folder / "fluent.conf").write_text(CONFIGURATION.format(folder=folder), encoding="utf-8")
        arguments = [*command, "-c", str(folder / "fluent.conf"), "--no-supervisor"]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
            try:
                _wait(process, folder / "output")
            finally:
                process.terminate()
                try:
                    process.wait(SETTLE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        return read(file.lost, (folder / "output").read_text(encoding="utf-8", errors="replace"))


def _wait(process: subprocess.Popen[bytes], output: Path) -> None:
    """Returns when as much as was written came out and a moment more, or when that takes too long."""
    ends_at = time.monotonic() + SETTLE_SECONDS
    while process.poll() is None and time.monotonic() < ends_at:
        time.sleep(1.0)
        if output.read_bytes().count(b'"number":') >= LINES:
            time.sleep(1.0)
            return


def read(lost: int, output: str) -> Outcome:
    """The records and the complaints in fluentd's output."""
    numbers: list[int] = []
    problems = [f"log.file lost {lost} lines"] if lost else []
    for line in output.split("\n"):
        if line.startswith("{"):
            record = json.loads(line)
            if record.get("event") == "line.written":
                numbers.append(int(record["number"]))
        elif any(mark in line for mark in COMPLAINTS):
            problems.append(line[:300])
    return Outcome(LINES, tuple(numbers), tuple(problems))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every line passed, 1 when not, 2 when fluentd cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m tools.fluentd", description=__doc__.partition("\n")[0])
    parser.add_argument("--command", default="fluentd", help="how your fluentd is started (default: %(default)s)")
    command = parser.parse_args(arguments).command
    try:
        outcome = play(shlex.split(command))
    except OSError as error:
        sys.stderr.write(f"--command {command!r} cannot be started: {error.strerror}\n")
        return 2
    found = f"{len(outcome.numbers)} records, {len(outcome.problems)} complaints"
    sys.stdout.write(f"{outcome.written} lines written, {found}\n")
    sys.stdout.writelines(f"  {problem}\n" for problem in outcome.problems[:10])
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
