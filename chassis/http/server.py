"""Serves an aiohttp application on a socket, within limits, with TLS that can be replaced."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from chassis.config import ConnectionSettings
from chassis.http.client import MAX_HEADERS
from chassis.http.connection_limits import AcceptedConnections, Dropped, Note
from chassis.net.sockets import listening_sockets


@asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, *, tls: ssl.SSLContext | None = None, drain_seconds: float = 5.0
) -> AsyncIterator[tuple[str, int]]:
    """Serves the application and yields the bound (host, port); port 0 picks a free one.

    At exit it stops accepting, waits up to `drain_seconds` for requests in flight, then closes.
    """
    async with Listener.opened(app, (host, port), tls=tls, drain_seconds=drain_seconds) as listener:
        yield listener.bound


def _ignore(_dropped: Dropped) -> None:
    """Counts nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A server's connection limits, and the callback for each refused connection."""

    connections: ConnectionSettings = field(default_factory=ConnectionSettings)
    note: Note = _ignore


class Listener:
    """A served application whose TLS can be exchanged while it runs. Open it with `opened()`."""

    def __init__(self, connections: AcceptedConnections, bound: tuple[str, int]) -> None:
        self.connections = connections
        self.bound = bound

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        app: web.Application,
        place: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        drain_seconds: float = 5.0,
        limits: Limits | None = None,
    ) -> AsyncIterator[Listener]:
        """Listens at (host, port); at exit it stops accepting and waits for requests in flight, then closes.

        The host "" means all addresses of IPv4 and IPv6.
        """
        limits = limits or Limits()
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=drain_seconds,
            handle_signals=False,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # a small body must not expand to a large one before it is checked
        )
        failure: BaseException | None = None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            connections = AcceptedConnections(cast("web.Server", runner.server), limits.connections, limits.note, tls)
            sockets = [stack.enter_context(opened) for opened in await listening_sockets(*place)]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(connections.accept(opened, group), name="accept") for opened in sockets]
                try:
                    host, port = sockets[0].getsockname()[:2]
                    yield cls(connections, (host, port))
                except BaseException as error:  # noqa: BLE001 - raised below, outside the group, which would wrap it
                    failure = error
                for task in tasks:
                    task.cancel()
                connections.close()
        if failure is not None:
            raise failure

    async def replace_tls(self, tls: ssl.SSLContext | None) -> None:
        """Uses this context for new connections, or no TLS when None; ends earlier connections."""
        self.connections.replace_tls(tls)
