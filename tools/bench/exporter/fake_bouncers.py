"""A thousand bouncers as one process: `http://127.0.0.1:PORT/NUMBER` answers as the bouncer of that number.

The bodies come from the stand-in's own handlers, made once; nothing else of a bouncer is simulated, so that the figures
show the client's cost, not the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, cast

from aiohttp import web

from tools.servers.http import is_answered
from tools.servers.ports import free_port
from tools.servers.process import Command, Server
from tools.servers.sidecar import ROOT
from tools.standin.policy.bouncer import CACHES, Caches, get_health, get_metrics
from tools.standin.policy.engine import ALLOWED, DENIED

if TYPE_CHECKING:
    from aiohttp.web import Request

ALLOWED_USER = b'"canary-allow"'
BACKLOG = 4096
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _App(dict[object, object]):
    """What the stand-in's handlers read."""


class _Request:
    """As much of a request as the stand-in's handlers read."""

    def __init__(self) -> None:
        self.app = _App({CACHES: Caches(is_used=True)})


def _answer(response: web.Response) -> bytes:
    """The answer on the wire; the connection ends with it."""
    body = response.text or ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n{body}".encode()


async def make_answers() -> dict[bytes, bytes]:
    """The answers by what the path ends in; `allow` and `deny` are those of /api/v1/authorize."""
    request = cast("Request", _Request())
    return {
        b"/health": _answer(await get_health(request)),
        b"/api/v1/metrics": _answer(await get_metrics(request)),
        b"allow": _answer(web.json_response({"allow": True, "reason": ALLOWED})),
        b"deny": _answer(web.json_response({"allow": False, "reason": DENIED})),
    }


def choose(answers: dict[bytes, bytes], path: bytes, body: bytes) -> bytes:
    """The answer to a request."""
    if path.endswith(b"/api/v1/authorize"):
        return answers[b"allow" if ALLOWED_USER in body else b"deny"]
    return next((answer for end, answer in answers.items() if end.startswith(b"/") and path.endswith(end)), NOT_FOUND)


class _Connection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answers once the request is whole."""
        self._data += data
        head, mark, body = self._data.partition(b"\r\n\r\n")
        if not mark:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(length or 0):
            self._transport.write(choose(self._answers, head.split(b" ", 2)[1], body))
            self._transport.close()


async def serve(port: int) -> None:
    """Serves until the process is ended."""
    answers = await make_answers()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", port, backlog=BACKLOG)
    async with server:
        await server.serve_forever()


class FarmServer(Server):
    """The farm as a separate server."""

    name = "farm"

    def prepare(self) -> None:
        """Picks a port."""
        self.port = free_port()

    def describe(self) -> Command:
        """The program from this checkout."""
        return Command(
            (sys.executable, "-m", "tools.bench.exporter.fake_bouncers", "--port", str(self.port)),
            working_directory=ROOT,
        )

    def is_ready(self) -> bool:
        """Whether its first bouncer answers."""
        return is_answered(f"{self.url(0)}/health")

    def url(self, number: int) -> str:
        """Base URL of the bouncer of this number."""
        return f"http://127.0.0.1:{self.port}/{number}"

    def bouncers(self, count: int) -> list[dict[str, str]]:
        """This many of them as the exporter's setting `bouncers`."""
        return [{"name": f"bouncer-{number:04}", "url": self.url(number)} for number in range(count)]


def main() -> None:
    """Runs a farm."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.exporter.fake_bouncers", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
