"""Tells systemd how the program fares (sd_notify(3)), where it was started with a notification socket.

READY=1 when it listens, STOPPING=1 when its end begins, and WATCHDOG=1 from the event loop itself, so that a loop that
hangs is told by its silence. A reload is not told: how it ended stands in a metric. Without a socket nothing happens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

WATCHDOG_SHARE = 0.5
"""Of the time that systemd waits for a sign of life, as sd_watchdog_enabled(3) advises."""


class Notifier:
    """One way to systemd; every method returns at once and fails nobody."""

    def __init__(self, address: str, watchdog_seconds: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds
        """Seconds between two signs of life; None when systemd waits for none."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """What systemd set: NOTIFY_SOCKET, and WATCHDOG_USEC for the process of WATCHDOG_PID."""
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
        """One datagram; a systemd that does not take it is its own trouble."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
            way.setblocking(False)
            way.sendto(state.encode(), self._address)
