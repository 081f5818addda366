"""The exporter as its user runs it: a separate process, queried over HTTP."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.log_file import read_log
from tests.fakes.waiting import wait_for
from tools.slowness import scaled

ROOT = Path(__file__).parents[2]
START_SECONDS = 20.0
REPORT_MODULES = """
import atexit, sys
atexit.register(lambda: print("\\n".join(sorted(sys.modules))))
"""
PLUG_IN = """
import exporter.collectors
exporter.collectors.__path__.append({folder!r})
"""
RUN = """
import sys
from exporter.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    seconds: float
    headers: Mapping[str, str]


def samples_of(page: str) -> dict[str, float]:
    """A page as `name{labels}` to value."""
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@dataclass
class RunningExporter:
    """One process, its log and its address."""

    process: subprocess.Popen[str]
    log_path: Path
    url: str = ""

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines written so far."""
        return read_log(self.log_path)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.log if line["event"] == name]

    def get(self, path: str = "/metrics", *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Requests a page; an error status is an answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=named)  # noqa: S310 - loopback
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=scaled(5)) as answer:  # noqa: S310 - loopback
                raw, status, got = answer.read(), answer.status, dict(answer.headers)
        except urllib.error.HTTPError as error:
            raw, status, got = error.read(), error.code, dict(error.headers)
        seconds = time.monotonic() - began
        text = (gzip.decompress(raw) if got.get("Content-Encoding") == "gzip" else raw).decode()
        return Answer(status, text, seconds, got)

    def samples(self) -> dict[str, float]:
        """The page as `name{labels}` to value."""
        return samples_of(self.get().text)

    def wait_for(self, holds: Callable[[dict[str, float]], bool], seconds: float = 10.0) -> float:
        """Seconds until a page met the condition; fails with the page after `seconds`, scaled."""
        began = time.monotonic()
        wait_for(
            lambda: holds(self.samples()),
            seconds,
            describe=lambda: "\n".join(f"{name} {value}" for name, value in self.samples().items()),
        )
        return time.monotonic() - began

    def wait_until_ready(self) -> None:
        """Returns once every collector has ended a collection and the page shows it."""
        wait_for(lambda: self.get("/-/ready").status == 200, START_SECONDS, describe=lambda: self.get("/-/ready").text)
        time.sleep(0.1)  # a change is published 50 ms later

    def rss_mib(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024

    def end(self) -> tuple[int, str]:
        """Sends SIGTERM; exit status and standard output."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=scaled(10))
        return self.process.returncode, output


def environment(**variables: str) -> dict[str, str]:
    """Ours without what would configure the exporter, plus what is given."""
    own = ("DATABASE_URL", "REDIS_URL", "CONTROLCORE_API_URL")
    kept = {name: value for name, value in os.environ.items() if name not in own and "CONTROLCORE_EXPORTER" not in name}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


@contextmanager
def running_exporter(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    before: str = "",
) -> Iterator[RunningExporter]:
    """Runs the program on a free port with these settings as its file; `before` is Python that runs first."""
    config, log_path = folder / "exporter.yml", folder / "exporter.log"
    config.write_text(yaml.safe_dump(dict(settings or {})))
    arguments = ["--config.file", str(config), "--web.listen-address", "127.0.0.1:0", "--log.form", "json"]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", before + RUN, *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(**(variables or {})),
            cwd=folder,
        )
    exporter = RunningExporter(process, log_path)
    try:
        wait_for(
            lambda: exporter.events("program.started") or process.poll() is not None,
            START_SECONDS,
            describe=log_path.read_text,
        )
        assert process.poll() is None, log_path.read_text()
        started = exporter.events("program.started")[0]
        exporter.url = f"http://{started['host']}:{started['port']}"
        yield exporter
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
