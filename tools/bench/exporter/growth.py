"""How the time of a scrape grows with the page: 1,000, 10,000 and 100,000 samples, against client_python's server."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tools.bench.client_python import ClientPythonServer
from tools.bench.exporter.scrape import count_samples
from tools.bench.exporter.setup import wait_until_ready
from tools.bench.load import Spread, cpu_seconds, get, resident_mib, send_many, summarise
from tools.bench.section import Options, Section, Target, at_most, table, targets
from tools.servers.http import read_url
from tools.servers.process import Command
from tools.servers.sidecar import ROOT, ExporterServer

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 3
REQUESTS = 50
PEER_SECONDS = 2.0
"""How long one round queries client_python's server: it needs a second for a large page."""
LIMIT_MS = 20.0
PAGE_SECONDS = 30.0
ROWS = Path(__file__).with_name("synthetic_collector.py")
RUN = """
import sys
import exporter.collectors
exporter.collectors.__path__.append(sys.argv.pop(1))
from exporter.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class GrownExporter(ExporterServer):
    """Our program with one more file among its collectors."""

    def __init__(self, samples: int) -> None:
        """`samples`: how many that collector shows."""
        super().__init__({"limits": {"max_series_per_collector": samples}, "scope": "all"})
        self._samples = samples

    def describe(self) -> Command:
        """The program, with the folder of the additional collector."""
        folder = self.folder / "collectors"
        folder.mkdir(exist_ok=True)
        shutil.copy(ROWS, folder / "synthetic_collector.py")
        arguments = (sys.executable, "-c", RUN, str(folder), "--config.file", str(self.settings_path))
        return Command(arguments, environment={"CONTROLCORE_BENCH_SAMPLES": str(self._samples)}, working_directory=ROOT)


@dataclass(frozen=True, slots=True)
class Growth:
    """One size: both servers."""

    samples: int
    ours: Spread
    peer: Spread
    resident: float


def wait_for_samples(ours: GrownExporter, size: int) -> int:
    """How many samples our page has, once it has the further collector's too."""
    wait_until_ready(ours)
    ends_at = time.monotonic() + PAGE_SECONDS
    while (samples := count_samples(ours.port)) < size:
        if time.monotonic() > ends_at:
            raise RuntimeError(f"{samples} samples instead of {size}:\n{ours.process.log_tail()}")
        time.sleep(0.2)
    return samples


def measure_size(size: int, rounds: int = ROUNDS, requests: int = REQUESTS) -> Growth:
    """Both servers with the same page of this size, in turn."""
    ours_times: list[float] = []
    peer_times: list[float] = []
    with ExitStack() as stack:
        ours = stack.enter_context(GrownExporter(size))
        samples = wait_for_samples(ours, size)
        peer = stack.enter_context(ClientPythonServer(read_url(f"{ours.url}/metrics").decode()))
        if count_samples(peer.port) < size:
            raise RuntimeError("client_python's server does not have the whole page")
        pid, cpu, ours_bytes, peer_bytes = ours.process.pid, 0.0, 0, 0
        for _ in range(rounds):
            before = cpu_seconds(pid)
            times, ours_bytes = send_many(get(ours.port, "/metrics"), requests)
            cpu += cpu_seconds(pid) - before
            ours_times += times
            first, peer_bytes = send_many(get(peer.port, "/metrics"), 1, is_kept=False)
            more, _ = send_many(get(peer.port, "/metrics"), min(requests, int(PEER_SECONDS / first[0])), is_kept=False)
            peer_times += first + more
        resident = resident_mib(pid)
    return Growth(
        samples,
        summarise(ours_times, cpu / len(ours_times), ours_bytes),
        summarise(peer_times, None, peer_bytes),
        resident,
    )


def describe(found: Sequence[Growth]) -> list[str]:
    """The table."""
    head = ("samples", "ours: p50 / p99 (min to max)", "bytes", "RSS", "client_python's server", "times as fast (p50)")
    rows = [
        (
            f"{each.samples:,}",
            each.ours.describe(),
            f"{each.ours.body_bytes:,}",
            f"{each.resident:.0f} MiB",
            each.peer.describe(),
            f"{each.peer.p50 / each.ours.p50:.0f}",
        )
        for each in found
    ]
    return table(head, rows)


def judge(found: Sequence[Growth]) -> list[Target]:
    """The targets, for the largest page."""
    largest = max(found, key=lambda each: each.samples)
    aim = f"{largest.samples:,} samples, at most {LIMIT_MS:.0f} ms a scrape"
    return [
        at_most(f"{aim}, p50", LIMIT_MS, largest.ours.p50 * 1e3, "ms"),
        at_most(f"{aim}, p99", LIMIT_MS, largest.ours.p99 * 1e3, "ms"),
    ]


def growth(_: Options) -> list[str]:
    """Each size in turn."""
    found = [measure_size(size) for size in SIZES]
    return [
        "A further collector in one file, every value new at each collection; gzip.",
        "",
        *describe(found),
        *targets(judge(found)),
    ]


SECTION = Section("growth", "Growth with the number of samples", growth)
