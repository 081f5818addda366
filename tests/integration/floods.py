"""Floods of a port by peers without a credential, and what must hold meanwhile."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.waiting import until
from tools.slowness import scaled

SECONDS = float(os.environ.get("CONTROLCORE_FLOOD_SECONDS", "4"))
"""How long each flood lasts."""
PEERS = int(os.environ.get("CONTROLCORE_FLOOD_PEERS", "250"))
"""How many connections it keeps trying to hold."""
HOLD_SECONDS = 30.0
LINE = b"A: " + b"x" * 8000 + b"\r\n"
_NUMBERS = itertools.count()


def basic(user: str, password: str) -> str:
    """The header of a user."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def _post(path: str, rest: bytes) -> bytes:
    """The beginning of a request with a body."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + rest


KINDS: dict[str, Callable[[], bytes]] = {
    "unfinished headers": lambda: b"GET /metrics HTTP/1.1\r\n" + LINE * 120,
    "many small headers": lambda: b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 100_000,
    "a huge header": lambda: b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 1_000_000,
    "a huge path": lambda: b"GET /" + b"x" * 1_000_000,
    "silence": lambda: b"",
    "blank lines": lambda: b"\r\n" * 100,
    "no HTTP": lambda: b"\x16\x03\x01\x02\x00\x01" + bytes(range(256)) * 40,
    "slow bodies": lambda: _post("/api/v1/alerts", b"Content-Length: 9000000\r\n\r\n{"),
    "slow chunked bodies": lambda: _post("/-/reload", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"),
    "packed bodies": lambda: _post(
        "/api/v1/alerts", b"Content-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n\x1f\x8b\x08\x00" + bytes(60_000)
    ),
    "pipelined requests": lambda: b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 5000,
    "reloads": lambda: _post("/-/reload", b"Content-Length: 0\r\n\r\n"),
    "wrong passwords": lambda: (
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: "
        + basic("alice", f"x{next(_NUMBERS)}").encode()
        + b"\r\n\r\n"
    ),
}


@dataclass
class Seen:
    """The answers to well-behaved requests during a flood, by path and status; 0 means no answer."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)


@contextmanager
def flooding(port: int, kind: str, peers: int = PEERS) -> Iterator[threading.Event]:
    """Floods the port until the block ends; sets the event once every peer has connected or been turned away."""
    is_flooded, is_over = threading.Event(), threading.Event()

    async def peer(arrived: Counter[int], number: int) -> None:
        while not is_over.is_set():
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(KINDS[kind]())
                    arrived[number] += 1
                    if len(arrived) == peers:
                        is_flooded.set()
                    async with asyncio.timeout(HOLD_SECONDS):
                        await reader.read() if kind != "pipelined requests" else await writer.drain()
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.02)

    async def flood() -> None:
        arrived: Counter[int] = Counter()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(peer(arrived, number)) for number in range(peers)]
            await until(is_over.is_set, 3600.0)
            for task in tasks:
                task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(flood()))
    thread.start()
    try:
        yield is_flooded
    finally:
        is_over.set()
        thread.join()


def ask(port: int, path: str, headers: dict[str, str] | None = None, source: str = "127.0.0.1") -> int:
    """One request on a new connection, like a kubelet's probe; the status, or 0 without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(5), source_address=(source, 0))
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()


def peak_mib(pid: int) -> float:
    """The most memory that the process has had so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
