"""Starts a program, keeps it until a signal, and ends it in order.

SIGTERM and SIGINT set `stop`; SIGHUP runs the reload callback. The program opens its resources in one AsyncExitStack,
so they are closed in reverse order; a second SIGTERM ends the process at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

Body = Callable[["Lifecycle"], Awaitable[None]]


class Lifecycle:
    """What a running program knows of its own beginning and end."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.stop = asyncio.Event()
        self._reload: Callable[[], None] | None = None

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Names what SIGHUP does; it runs on the event loop and must not block."""
        self._reload = callback

    def request_stop(self) -> None:
        """Begins the end; a second call ends the process without draining."""
        if self.stop.is_set():
            os._exit(130)
        self.stop.set()

    def request_reload(self) -> None:
        """Runs the reload callback, if there is one."""
        if self._reload is not None:
            self._reload()


async def _run(body: Body) -> None:
    """Runs the body inside one exit stack with signal handlers installed."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        life = Lifecycle(stack)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, life.request_stop)
        loop.add_signal_handler(signal.SIGHUP, life.request_reload)
        await body(life)


def run(body: Body) -> None:
    """Runs the program's body to its end; returns when it has closed everything it opened."""
    asyncio.run(_run(body))
