"""Starts a program, runs it until a signal, and ends it in order.

SIGTERM and SIGINT set `stop`; SIGHUP runs the reload callback. The program opens its resources in one AsyncExitStack,
so they are closed in reverse order; a second SIGTERM ends the process at once. systemd is notified of start and end.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress

from chassis.process.loop_watchdog import NO_FILE, LoopWatchdog

WATCHDOG_SHARE = 0.5
"""Share of systemd's watchdog timeout between two signs of life, as sd_watchdog_enabled(3) advises."""


class SystemdNotifier:
    """Sends the program's state to systemd (sd_notify(3)); every method returns at once and raises nothing.

    READY=1 when the program listens, STOPPING=1 when it begins to end, and WATCHDOG=1 from the event loop itself, so
    that a blocked loop sends none. Reloads are not reported; a metric shows their result. Without NOTIFY_SOCKET nothing
    is sent.
    """

    def __init__(self, address: str, watchdog_seconds: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds
        """Seconds between two signs of life; None when systemd expects none."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SystemdNotifier:
        """Variables of systemd: NOTIFY_SOCKET, and WATCHDOG_USEC for the process of WATCHDOG_PID."""
        seconds = None
        with suppress(ValueError):
            wanted = int(environment.get("WATCHDOG_USEC", ""))
            if wanted > 0 and int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid():
                seconds = wanted / 1e6 * WATCHDOG_SHARE
        return cls(environment.get("NOTIFY_SOCKET", ""), seconds)

    def ready(self) -> None:
        """The program serves."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        """Sends one datagram and ignores send errors."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            way.setblocking(False)
            way.sendto(state.encode(), self._address)


Body = Callable[["Lifecycle"], Awaitable[None]]


class Lifecycle:
    """Start and stop of a running program."""

    def __init__(self, stack: AsyncExitStack, notifier: SystemdNotifier | None = None) -> None:
        self.stack = stack
        self.stop = asyncio.Event()
        self.watchdog = LoopWatchdog()
        """The watchdog of the event loop; it runs as long as the program."""
        self._reload: Callable[[], None] | None = None
        self._notifier = notifier or SystemdNotifier("")

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Sets the callback of SIGHUP; it runs on the event loop and must not block."""
        self._reload = callback

    def serves(self) -> None:
        """Reports that the program listens; from now on the event loop sends signs of life."""
        self._notifier.ready()
        self._stay_alive()

    def _stay_alive(self) -> None:
        """Sends a sign of life and schedules the next."""
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
        life = Lifecycle(stack, SystemdNotifier.from_environment())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, life.request_stop)
        loop.add_signal_handler(signal.SIGHUP, life.request_reload)
        async with life.watchdog.watching():
            await body(life)


def run(body: Body) -> None:
    """Runs the program's body to its end; returns when it has closed everything it opened.

    A crash of native code (SIGSEGV, SIGABRT) ends the process with the stacks of its threads on standard error.
    """
    with suppress(*NO_FILE):
        faulthandler.enable(file=sys.stderr)
    asyncio.run(_run(body))
