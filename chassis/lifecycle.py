"""Starts a program, keeps it until a signal, and ends it in order.

SIGTERM and SIGINT set `stop`; SIGHUP runs the reload callback. The program opens its resources in one AsyncExitStack,
so they are closed in reverse order; a second SIGTERM ends the process at once. systemd is told of start and end.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from chassis.loop_watchdog import LoopWatchdog
from chassis.systemd import Notifier

Body = Callable[["Lifecycle"], Awaitable[None]]


class Lifecycle:
    """What a running program knows of its own beginning and end."""

    def __init__(self, stack: AsyncExitStack, notifier: Notifier | None = None) -> None:
        self.stack = stack
        self.stop = asyncio.Event()
        self.watchdog = LoopWatchdog()
        """What is known of blocks of the event loop; it runs while the program does."""
        self._reload: Callable[[], None] | None = None
        self._notifier = notifier or Notifier("")

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Names what SIGHUP does; it runs on the event loop and must not block."""
        self._reload = callback

    def serves(self) -> None:
        """Says that the program listens; signs of life follow from now on, out of the event loop."""
        self._notifier.ready()
        self._stay_alive()

    def _stay_alive(self) -> None:
        """One sign of life, and the next one in time."""
        seconds = self._notifier.watchdog_seconds
        if seconds is not None:
            self._notifier.alive()
            asyncio.get_running_loop().call_later(seconds, self._stay_alive)

    def request_stop(self) -> None:
        """Begins the end; a second call ends the process without draining."""
        if self.stop.is_set():
            os._exit(130)
        self._notifier.stopping()
        self.stop.set()

    def request_reload(self) -> None:
        """Runs the reload callback, if there is one."""
        if self._reload is not None:
            self._reload()


async def _run(body: Body) -> None:
    """Runs the body inside one exit stack with signal handlers installed."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        life = Lifecycle(stack, Notifier.from_environment())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, life.request_stop)
        loop.add_signal_handler(signal.SIGHUP, life.request_reload)
        async with life.watchdog.watching():
            await body(life)


def run(body: Body) -> None:
    """Runs the program's body to its end; returns when it has closed everything it opened."""
    asyncio.run(_run(body))
