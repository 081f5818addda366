"""Shared by all programs of the stand-in: a listening socket, faults, an admin route, and an end with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from tools.standin.faults.admin import PATH, answer_admin, burn_cpu, serve_admin
from tools.standin.faults.switches import FaultBox

if TYPE_CHECKING:
    import argparse

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BOX = web.AppKey("box", FaultBox)
ANSWERS_WRONG_ITSELF = web.AppKey("answers_wrong_itself", bool)
WRONG_PAGE = "<!doctype html><title>Maintenance</title><p>Please come back later.</p>"
KEEP_INTERVAL_SECONDS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every program takes."""
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--name", help="the component's name on the admin route; default: the program's")
    parser.add_argument(
        "--cpu-limit-millicores", type=float, default=0.0, help="upper limit of a cpu fault; 0 means no limit"
    )
    parser.add_argument("--end-with-parent", action="store_true", help="end when standard input is closed")


def end_with_parent() -> None:
    """End this process when standard input closes, which happens however the parent ends.

    A pipe holds where PR_SET_PDEATHSIG does not: that signal comes when the *thread* that started the process ends.
    """

    def wait_for_end() -> None:
        while os.read(0, 64):
            pass
        os._exit(0)

    threading.Thread(target=wait_for_end, name="parent", daemon=True).start()


@web.middleware
async def apply_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the faults that are on decide about this request before its handler does."""
    box, path = request.app[BOX], request.path
    if path == PATH:
        return await handler(request)
    box.block_while_hung()
    while box.get("hang", path):  # noqa: ASYNC110 (the fault ends by its own time, or from another thread)
        await asyncio.sleep(KEEP_INTERVAL_SECONDS)
    if slow := box.get("slow", path):
        await asyncio.sleep(slow.delay_seconds)
    if broken := box.get("5xx", path):
        return web.json_response({"error": "Internal server error"}, status=broken.status)
    if box.get("wrong_answer", path) and not request.app.get(ANSWERS_WRONG_ITSELF):
        return web.Response(text=WRONG_PAGE, content_type="text/html")
    return await handler(request)


@web.middleware
async def answer_as_fastapi(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an unknown path or method into FastAPI's answer."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.json_response({"detail": "Not Found"}, status=404)
    except web.HTTPMethodNotAllowed:
        return web.json_response({"detail": "Method Not Allowed"}, status=405)


async def _serve_fault(request: web.Request) -> web.Response:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    status, answer = answer_admin(
        request.app[BOX], peer[0] if peer else None, request.method, request.path_qs, await request.read()
    )
    return web.json_response(answer, status=status)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet: connections are refused and the port stays ours."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.setblocking(False)
    return bound


class Listener:
    """Opens and closes the program's listening socket; while closed, its address refuses connections."""

    def __init__(self, server: web.Server, bound: socket.socket) -> None:
        """Take a bound socket; `open` makes it listen."""
        self._server = server
        self._bound = bound
        self._address = bound.getsockname()
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base URL under which the program answers."""
        return f"http://{self._address[0]}:{self._address[1]}"

    async def open(self) -> None:
        """Listen, if closed."""
        if self._listening is None:
            self._listening = await asyncio.get_running_loop().create_server(
                self._server, sock=self._bound, backlog=512
            )

    def close(self) -> None:
        """Stop listening and drop every connection, if open."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        self._bound = bind(self._address[0], self._address[1])


async def _keep_listener(listener: Listener, box: FaultBox) -> None:
    while True:
        box.block_while_hung()
        if box.get("refuse"):
            listener.close()
        else:
            await listener.open()
        await asyncio.sleep(KEEP_INTERVAL_SECONDS)


@asynccontextmanager
async def serving(app: web.Application, box: FaultBox, arguments: argparse.Namespace) -> AsyncIterator[Listener]:
    """Serve the application with its faults; the first line on standard output names its address."""
    app[BOX] = box
    app.middlewares.insert(0, apply_faults)
    app.router.add_route("*", PATH, _serve_fault)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("the runner has no server after its setup")
    listener = Listener(runner.server, bind(arguments.host, arguments.port))
    await listener.open()
    threading.Thread(target=burn_cpu, args=(box, arguments.cpu_limit_millicores), name="burner", daemon=True).start()
    started = {"event": "standin.started", "component": box.component, "pid": os.getpid(), "url": listener.url}
    print(json.dumps(started | {"admin_url": serve_admin(box)}), flush=True)
    try:
        yield listener
    finally:
        listener.close()
        await runner.cleanup()


async def run(app: web.Application, box: FaultBox, arguments: argparse.Namespace) -> None:
    """Serve until the process is ended."""
    if arguments.end_with_parent:
        end_with_parent()
    async with serving(app, box, arguments) as listener:
        await _keep_listener(listener, box)


def main(build: Callable[[argparse.Namespace, FaultBox], web.Application], arguments: argparse.Namespace) -> None:
    """Build the application and serve it; a failure to build ends the process with status 1."""
    box = FaultBox(arguments.name)
    try:
        app = build(arguments, box)
    except Exception as error:  # noqa: BLE001 (a program that cannot start says why and ends with 1, whatever it was)
        print(f"{arguments.name}: {error}", file=sys.stderr)
        sys.exit(1)
    asyncio.run(run(app, box, arguments))
