"""A Service of the stand-in: one loopback port that spreads connections over the ready pods."""

from __future__ import annotations

import asyncio

from tools.slowness import scaled
from tools.standin.program import bind

CONNECT_TIMEOUT_SECONDS = 1.0
CHUNK_BYTES = 65536

Address = tuple[str, int]


class Balancer:
    """Hands each new connection to the next ready address; with none ready, its port refuses connections."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Take a free port, which refuses until an address is ready."""
        self._bound = bind(host, 0)
        self._address: Address = self._bound.getsockname()
        self._listening: asyncio.Server | None = None
        self._ready: list[Address] = []
        self._turn = 0
        # Only itself refers to a connection that its client has half-closed: the loop would lose it.
        self._open: set[asyncio.Task[None] | None] = set()

    @property
    def url(self) -> str:
        """Base URL of the Service."""
        return f"http://{self._address[0]}:{self._address[1]}"

    async def set_ready(self, addresses: list[Address]) -> None:
        """Spread over exactly these addresses from now on; open connections stay where they are."""
        self._ready = sorted(addresses)
        if self._ready and self._listening is None:
            self._listening = await asyncio.start_server(self._serve, sock=self._bound)
        elif not self._ready and self._listening is not None:
            self._listening.close()
            self._listening = None
            self._bound = bind(*self._address)

    def close(self) -> None:
        """Stop listening for good."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._bound.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Connect to the next ready address that accepts, or return None."""
        for _ in range(len(self._ready)):
            self._turn += 1
            host, port = self._ready[self._turn % len(self._ready)]
            try:
                async with asyncio.timeout(scaled(CONNECT_TIMEOUT_SECONDS)):
                    return await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
        return None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            await self._forward(reader, writer)
        finally:
            self._open.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected = await self._connect()
        if connected is None:
            writer.transport.abort()
            return
        pod_reader, pod_writer = connected
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, pod_writer), name="to pod")
                group.create_task(_copy(pod_reader, writer), name="from pod")
        finally:
            pod_writer.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of the stream, then close the other side's way in."""
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
