"""Understands and answers ordinary scrapes of /metrics from their bytes. What is unusual is left to the server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp.helpers import rfc822_formatted_time

from exporter.gate import Gate
from exporter.negotiation import Form, choose
from exporter.own import Refusal
from exporter.settings import ServerSettings
from exporter.snapshot import Snapshot

REQUEST_LINE = b"GET /metrics HTTP/1.1\r\n"
REQUEST_MAX_BYTES = 4096
HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]*([\x20-\x7e]*)")
HARMLESS = frozenset({"host", "user-agent", "accept", "accept-encoding", "x-prometheus-scrape-timeout-seconds"})
"""The headers of a scrape. With any other one (a body, a condition, a credential) the request is not ordinary."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Ordinary:
    """A scrape that can be answered from prepared bytes."""

    form: Form
    program: str
    head: bytes
    """The answer's header, as far as it is always the same."""


@lru_cache(maxsize=64)
def understand(data: bytes) -> Ordinary | None:
    """What these bytes ask for; None when it is no ordinary scrape. Scrapers send the same bytes each time."""
    if len(data) > REQUEST_MAX_BYTES or not data.startswith(REQUEST_LINE):
        return None
    headers: dict[str, str] = {}
    for line in data[len(REQUEST_LINE) :].decode("latin-1").removesuffix("\r\n\r\n").split("\r\n"):
        found = HEADER.fullmatch(line)
        name = "" if found is None else found[1].lower()
        if found is None or name not in HARMLESS or name in headers:
            return None
        headers[name] = found[2].strip()
    if "host" not in headers:
        return None
    form = choose(headers.get("accept", ""), headers.get("accept-encoding", ""))
    encoding = "Content-Encoding: gzip\r\n" if form.is_gzip else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {form.content_type}\r\nVary: Accept, Accept-Encoding\r\n{encoding}"
    return Ordinary(form, headers.get("user-agent", ""), head.encode("latin-1"))


Show = Callable[[str, int | None], Snapshot | None]
"""Is told who scrapes, on which connection, and gives the page at once; None when it first has to be collected."""


class FastScrapes:
    """Answers ordinary scrapes as long as the page needs no collection first."""

    def __init__(
        self, snapshot: Callable[[str, int | None], Snapshot | None], gate: Gate, settings: ServerSettings
    ) -> None:
        """`snapshot` is told who scrapes and gives the page at once, or None when it first has to be collected."""
        self._snapshot = snapshot
        self._gate = gate
        self._settings = settings

    def answer(self, data: bytes, transport: asyncio.Transport) -> bool:
        """Writes the page to an ordinary scrape; False leaves the request to the server."""
        asked = understand(data)
        if asked is None or self._gate.in_flight >= self._settings.max_scrapes or transport.get_write_buffer_size():
            return False
        peer = transport.get_extra_info("peername")
        address, connection = (peer[0], peer[1]) if peer else ("", None)
        snapshot = self._snapshot(f"{address} {asked.program} /metrics", connection)
        if snapshot is None:
            return False
        body = snapshot.body(asked.form)
        rest = f"Content-Length: {len(body)}\r\nDate: {rfc822_formatted_time()}\r\n\r\n"
        transport.writelines((asked.head, rest.encode("ascii"), body))
        if transport.get_write_buffer_size():
            _Patience(transport, self._gate, self._settings.slow_reader_seconds)
        return True


class _Patience:
    """Holds a place at the gate until the page is taken, and drops a connection that takes too long."""

    def __init__(self, transport: asyncio.Transport, gate: Gate, seconds: float) -> None:
        self._transport, self._gate = transport, gate
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        gate.in_flight += 1
        self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Looks whether the page was taken."""
        if self._transport.get_write_buffer_size() and not self._transport.is_closing():
            if self._loop.time() < self._until:
                self._loop.call_later(LOOK_SECONDS, self._look)
                return
            self._transport.abort()
            self._gate.refuse(Refusal.SLOW_READER)
        self._gate.in_flight -= 1
