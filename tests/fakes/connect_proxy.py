"""An HTTP proxy that leads every tunnel (CONNECT) to the same server."""

from __future__ import annotations

import asyncio

from tests.fakes.moving_name import MovingName


class ConnectProxy(MovingName):
    """Open it with `opened()`, which names the server behind it."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(target)
        self.requests: list[str] = []
        """The unchanged head of every request."""
        self.answer = "200 OK"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 0\r\n\r\n".encode())
        if self.answer.startswith("200"):
            await super()._serve(reader, writer)
        else:
            writer.close()
