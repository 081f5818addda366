"""S2, M3, M5, L6: a peer that floods a port only gets refusals; the others are served, within the chart's memory.

`make chaos` runs the same floods longer and with more peers.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest

from tests.fakes.running_exporter import PLUG_IN, running_exporter
from tests.fakes.running_remediator import TOKEN, RunningRemediator, an_alert
from tests.fakes.waiting import wait_for
from tests.integration.floods import KINDS, SECONDS, ask, basic, flooding, peak_mib
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(120 + 20 * SECONDS)
FILES = 160
FEW_FILES = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))\n"
RIGHT = {"Authorization": basic("alice", "correct horse")}
LOG_BYTES_MAX = 60_000
NEIGHBOUR = "127.0.0.2"
PROBES = ("/-/healthy", "/metrics")


@dataclass(frozen=True)
class Program:
    """A running program, as a flood and its neighbours see it."""

    port: int
    pid: int
    log_path: Path
    limit_mib: float
    """The memory limit in the chart's values."""


@contextmanager
def exporter(folder: Path, web: str, before: str) -> Iterator[Program]:
    settings = {"server": {"web_config_file": str(web)}} if web else {}
    with running_exporter(folder, settings, before=before) as running:
        yield Program(int(running.url.rpartition(":")[2]), running.process.pid, running.log_path, 160)


@contextmanager
def remediator(_folder: Path, web: str, before: str) -> Iterator[Program]:
    server = RunningRemediator(settings={"server": {"web_config_file": str(web)}} if web else None)
    server.program = (sys.executable, "-c", f"{before}from remediations.__main__ import main; main()")
    with server:
        yield Program(server.port, server.process.pid, server.log_path, 192)
        # Requests that the flood left may still be answered; Alertmanager sends a 503 again.
        wait_for(lambda: server.post(an_alert()) == 200)


Start = Callable[[Path, str, str], "contextmanager[Program]"]
PROGRAMS = {"exporter": exporter, "remediator": remediator}


@pytest.fixture(params=PROGRAMS)
def start(request: pytest.FixtureRequest) -> Start:
    return PROGRAMS[request.param]


def probe_for(program: Program, seconds: float, headers: dict[str, str] | None = None) -> Counter[tuple[str, int]]:
    """What well-behaved requests get meanwhile.

    They come from another address: of the flood's own, a connection that is slow to ask may have to give its place up.
    """
    seen: Counter[tuple[str, int]] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in PROBES:
            seen[path, ask(program.port, path, headers, NEIGHBOUR)] += 1
    return seen


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wrong passwords"])
def test_flood_leaves_room_for_probes_and_scrapes(start: Start, tmp_path: Path, kind: str) -> None:
    """S2: 200 connections with unfinished headers took 450 MiB; silent ones were never closed."""
    with start(tmp_path, "", "") as program:
        before = program.log_path.stat().st_size
        with flooding(program.port, kind) as is_flooded:
            assert is_flooded.wait(scaled(30))
            seen = probe_for(program, SECONDS)
            wait_for(lambda: ask(program.port, "/-/healthy") == 200, describe=lambda: "no place for the same address")
        assert {status for _, status in seen} == {200}, seen
        assert peak_mib(program.pid) < program.limit_mib
        assert program.log_path.stat().st_size - before < LOG_BYTES_MAX
        wait_for(lambda: ask(program.port, "/-/healthy") == 200)


def test_flood_at_few_open_files_leaves_room_too(start: Start, tmp_path: Path) -> None:
    """S2: more connections than open files left no page, no health and 36 MB of log."""
    with start(tmp_path, "", FEW_FILES) as program:
        before = program.log_path.stat().st_size
        with flooding(program.port, "silence", peers=2 * FILES) as is_flooded:
            assert is_flooded.wait(scaled(30))
            seen = probe_for(program, SECONDS)
        assert {status for _, status in seen} == {200}, seen
        assert program.log_path.stat().st_size - before < LOG_BYTES_MAX


def test_flood_of_passwords_never_turns_the_right_one_away(start: Start, tmp_path: Path) -> None:
    """M3: the right password got 401, which Alertmanager drops."""
    web = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(10)).decode()
    web.write_text(f"basic_auth_users: {{alice: '{hashed}'}}\n")
    with start(tmp_path, str(web), "") as program:
        assert ask(program.port, "/metrics", RIGHT) == 200
        before = program.log_path.stat().st_size
        with flooding(program.port, "wrong passwords", peers=60) as is_flooded:
            assert is_flooded.wait(scaled(30))
            seen = probe_for(program, SECONDS, RIGHT)
            strangers = {ask(program.port, "/metrics", {"Authorization": basic("bob", str(n))}) for n in range(20)}
        assert {status for _, status in seen} == {200}, seen
        assert strangers <= {401, 503}
        assert program.log_path.stat().st_size - before < LOG_BYTES_MAX


def test_refusals_write_few_lines(tmp_path: Path) -> None:
    """L6: each 401 wrote a line."""
    with remediator(tmp_path, "", "") as program:
        before = program.log_path.stat().st_size
        wrong = {"Authorization": f"Bearer {TOKEN}x"}
        assert {ask(program.port, "/api/v1/remediations", wrong) for _ in range(200)} == {401}
        assert program.log_path.stat().st_size - before < 2000


LARGE_PAGE = """
from contextlib import asynccontextmanager
from exporter.collector import Result, collector
from exporter.metrics import Metric
from exporter.settings import Scope

LARGE = Metric("controlcore_large", "Much.", labels=("text",))

@collector(scope=Scope.POD, metrics=(LARGE,))
class LargeCollector:
    "Much."

    @classmethod
    @asynccontextmanager
    async def open(cls, settings, sources):
        yield cls()

    async def collect(self):
        return Result((LARGE.family({(f"{number:04}" + "x" * 4000,): 1.0 for number in range(2500)}),))
"""
READER = """
import socket, sys
held = []
for _ in range(60):
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.bind(("127.0.0.9", 0))
    reader.connect(("127.0.0.1", int(sys.argv[1])))
    reader.send(b"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    held.append(reader)
print("asked", flush=True)
sys.stdin.read()
"""


def test_slow_readers_of_one_address_leave_room_for_the_scrapes_of_another(tmp_path: Path) -> None:
    """S2: 60 connections of one address against 40 places."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "large.py").write_text(LARGE_PAGE)
    settings = {"limits": {"max_label_length": 5000}, "server": {"slow_reader_seconds": scaled(30)}}
    with running_exporter(tmp_path, settings, before=PLUG_IN.format(folder=str(tmp_path / "plugins"))) as running:
        running.wait_until_ready()
        port = int(running.url.rpartition(":")[2])
        with subprocess.Popen(
            [sys.executable, "-c", READER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as readers:
            assert readers.stdout is not None
            assert readers.stdout.readline() == "asked\n"
            wait_for(lambda: running.events("scrape.refused"))
            statuses = Counter(ask(port, "/metrics", source=NEIGHBOUR) for _ in range(20))
            readers.communicate()
    assert statuses == {200: 20}
