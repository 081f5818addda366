"""Answers well-known requests from prepared bytes, before the general HTTP server sees them.

A scraper sends the same bytes each time and gets bytes that are ready: reading its header into objects costs more than
everything else. What is not exactly such a request goes the usual way, and with it everything that follows on its
connection, so the two never disagree about where a request begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

END = b"\r\n\r\n"
Answer = Callable[[bytes, asyncio.Transport], bool]
"""Writes the answer to these bytes, one whole request header, and returns True; or False when it is not for it."""


class FastHandler(RequestHandler):
    """One connection."""

    __slots__ = ("_answer", "_is_fast")

    def __init__(self, answer: Answer, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answer = answer
        self._is_fast = True

    def data_received(self, data: bytes) -> None:
        """Takes what came in."""
        if self._is_fast:
            transport = self.transport
            is_whole = data.endswith(END) and data.find(END) == len(data) - len(END)
            may_answer = is_whole and transport is not None and not (self._close or self._force_close)
            if may_answer and transport is not None and self._answer(data, transport):
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                return
            self._is_fast = False
        super().data_received(data)


class FastRunner(web.AppRunner):
    """Runs an application whose connections ask `answer` first."""

    def __init__(self, app: web.Application, answer: Answer, **options: Any) -> None:
        super().__init__(app, **options)
        self._fast_answer = answer

    async def _make_server(self) -> web.Server:
        """The general server, which makes fast connections."""
        server = await super()._make_server()
        answer = self._fast_answer

        class FastServer(type(server)):  # type: ignore[misc] # aiohttp offers no other place for the protocol
            """The same server."""

            def __call__(self) -> FastHandler:
                """A connection."""
                return FastHandler(answer, self, loop=self._loop, **self._kwargs)

        server.__class__ = FastServer
        return server
