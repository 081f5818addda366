"""Sends one request after another over a kept connection and times each; CPU of the server comes from /proc.

Everything is bounded in count and time, and goes to loopback only.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spread:
    """Latencies of one series of requests in seconds, and what they cost the server."""

    p50: float
    p99: float
    least: float
    most: float
    count: int
    cpu_seconds_per_request: float | None
    body_bytes: int

    def describe(self) -> str:
        """The spread as one cell: p50, p99, min and max in milliseconds."""
        return f"{self.p50 * 1e3:.2f} / {self.p99 * 1e3:.2f} ms ({self.least * 1e3:.2f} to {self.most * 1e3:.2f})"

    def cpu(self) -> str:
        """CPU for each request in milliseconds."""
        known = self.cpu_seconds_per_request
        return "unknown" if known is None else f"{known * 1e3:.2f} ms"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as bytes, and where it goes."""

    port: int
    raw: bytes
    host: str = "127.0.0.1"
    timeout_seconds: float = 30.0


def get(port: int, path: str, *, gzip: bool = True, accept: str = "text/plain;version=0.0.4;q=1") -> Request:
    """A scrape as Prometheus sends it: text format, gzip accepted by default."""
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Accept: {accept}"]
    lines += ["Accept-Encoding: gzip"] if gzip else []
    return Request(port, ("\r\n".join(lines) + "\r\n\r\n").encode())


def post(port: int, path: str, body: bytes, token: str) -> Request:
    """A webhook delivery with its bearer token."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Request(port, head.encode() + body)


class Connection:
    """A kept HTTP/1.1 connection that reads exactly one answer for each request."""

    def __init__(self, request: Request) -> None:
        self._socket = socket.create_connection((request.host, request.port), request.timeout_seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def send(self, raw: bytes) -> tuple[int, bytes]:
        """Sends the request and returns status and body; OSError when the time is up or the peer leaves."""
        self._socket.sendall(raw)
        head = self._read_until(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        headers = head.lower()
        if b"transfer-encoding: chunked" in headers:
            return status, self._read_chunks()
        length = headers.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        return status, self._read_exactly(int(length))

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _fill(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._buffer += data

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._fill()
        head, self._buffer = self._buffer.split(mark, 1)
        return head + mark

    def _read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            size = int(self._read_until(b"\r\n").strip().split(b";")[0], 16)
            chunk = self._read_exactly(size)
            self._read_until(b"\r\n")
            if size == 0:
                return body
            body += chunk


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (utime and stime of /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB (VmRSS of /proc/PID/status)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no VmRSS for {pid}")


def open_sockets(pid: int) -> int:
    """How many sockets a process holds open now (/proc/PID/fd)."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since it was listed
            count += str(entry.readlink()).startswith("socket:")
    return count


def send_many(request: Request, count: int, *, expect: int = 200, is_kept: bool = True) -> tuple[list[float], int]:
    """Seconds of each of `count` requests and the size of the last body; each opens a new connection unless `is_kept`.

    Raises RuntimeError on another status.
    """
    times: list[float] = []
    body = b""
    connection = Connection(request)
    try:
        for _ in range(count):
            started = time.perf_counter()
            if not is_kept:
                connection.close()
                connection = Connection(request)
            status, body = connection.send(request.raw)
            times.append(time.perf_counter() - started)
            if status != expect:
                raise RuntimeError(f"status {status} instead of {expect}: {body[:200]!r}")
    finally:
        connection.close()
    return times, len(body)


def measure(request: Request, *, count: int, pid: int | None = None, is_kept: bool = True, warm_up: int = 20) -> Spread:
    """Sends the request `count` times, after some that do not count; raises RuntimeError unless each gets 200."""
    send_many(request, warm_up, is_kept=is_kept)
    before = cpu_seconds(pid) if pid is not None else 0.0
    times, size = send_many(request, count, is_kept=is_kept)
    cpu = (cpu_seconds(pid) - before) / count if pid is not None else None
    return summarise(times, cpu, size)


def summarise(times: list[float], cpu: float | None, body_bytes: int) -> Spread:
    """The spread of these latencies."""
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return Spread(statistics.median(ordered), p99, ordered[0], ordered[-1], len(ordered), cpu, body_bytes)
