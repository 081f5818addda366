"""The page of another exporter, served by client_python's own server in a separate process.

The page is parsed once; a collector then yields its families at each scrape, as collectors of client_python's users
do. Reading the values costs nothing here, so the time is only for rendering, compressing and serving.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tools.servers.http import is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server
from tools.servers.sidecar import ROOT


class PageCollector(Collector):
    """Yields the families of a page."""

    def __init__(self, text: str) -> None:
        self._families = tuple(text_string_to_metric_families(text))

    def collect(self) -> Iterable[Metric]:
        """The families, the same at each scrape."""
        return self._families


class ClientPythonServer(Server):
    """client_python's server with a page of this text."""

    name = "client_python"
    ready_timeout_seconds = 60.0

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page

    def prepare(self) -> None:
        """Writes the page."""
        self.port = free_port()
        (self.folder / "page.txt").write_text(self._page, encoding="utf-8")

    def describe(self) -> Command:
        """The program from this checkout."""
        arguments = ("--port", str(self.port), "--page", str(self.folder / "page.txt"))
        return Command((sys.executable, "-m", "tools.bench.client_python", *arguments), working_directory=ROOT)

    def is_ready(self) -> bool:
        """Whether it serves."""
        return is_answered(f"http://127.0.0.1:{self.port}/metrics", timeout_seconds=10.0)


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.client_python", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--page", type=Path, required=True)
    arguments = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    registry = CollectorRegistry()
    registry.register(PageCollector(arguments.page.read_text(encoding="utf-8")))
    start_http_server(arguments.port, "127.0.0.1", registry)
    signal.sigwait(signals)


if __name__ == "__main__":
    main()
