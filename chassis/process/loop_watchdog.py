"""Detects from a thread that the event loop is blocked: counts it, logs the stack, and makes health fail afterwards.

While the loop is blocked nothing answers: Kubernetes probes time out and systemd's WatchdogSec expires. `/-/healthy`
reports a block that is shorter than the time between two probes for a moment afterwards. The stack comes from a Python
thread, or from faulthandler for code that lets no other thread run (a regular expression of the standard library);
faulthandler writes to standard error without Python.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import UnsupportedOperation

from chassis.log import get_logger

BEAT_SECONDS = 0.5
STALL_SECONDS = 2.0
"""A loop that did not run for this long is blocked. A healthy loop's longest step is below 0.3 s; a machine short of
CPU may take a second.
"""
DUMP_SECONDS = 10.0
"""faulthandler writes the stacks of all threads after this time, or up to ARMING_BEATS beats earlier."""
ARMING_BEATS = 4
"""Beats between two restarts of faulthandler's timer: each start creates a thread."""
UNHEALTHY_SECONDS = 30.0
"""How long the program is unhealthy after a block of at least SERIOUS_SECONDS: between one and three periods of the
chart's probe, so that only repeated blocks restart a pod.
"""
SERIOUS_SECONDS = 5.0
STACK_CHARACTERS = 6000
NO_FILE = (UnsupportedOperation, ValueError, AttributeError, RuntimeError)
"""What faulthandler raises when standard error is closed, or is not a file."""


class LoopWatchdog:
    """The blocks of one event loop. Start it with `watching()`."""

    def __init__(self, stall_seconds: float = STALL_SECONDS, serious_seconds: float = SERIOUS_SECONDS) -> None:
        self.stalls = 0
        """Blocks of at least `stall_seconds`; the current one counts once it is noticed."""
        self.blocked_seconds = 0.0
        """Total duration of the ended blocks."""
        self._stall_seconds = stall_seconds
        self._serious_seconds = serious_seconds
        self._beat_at = time.monotonic()
        self._beats = 0
        self._is_noticed = False
        self._serious_until = 0.0
        self._thread_id = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        """Held to count, not to log: loop and thread may notice the same block at once."""

    @property
    def problem(self) -> str:
        """Why the program is unhealthy now; empty when it is not."""
        if time.monotonic() >= self._serious_until:
            return ""
        return f"the event loop was blocked a moment ago; {self.stalls} times since the start"

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[LoopWatchdog]:
        """Watches the running loop until the exit."""
        self._thread_id = threading.get_ident()
        loop = asyncio.get_running_loop()
        self._beat_at = time.monotonic()
        handle = loop.call_soon(self._beat, loop)
        thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            handle.cancel()
            self._over.set()
            faulthandler.cancel_dump_traceback_later()
            await asyncio.to_thread(thread.join)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs on the loop: any block is over."""
        now = time.monotonic()
        with self._lock:
            blocked, self._beat_at = now - self._beat_at - BEAT_SECONDS, now
            is_over = blocked >= self._stall_seconds
            if is_over:
                self._end_stall(blocked, now)
        if is_over:
            get_logger().warning("event_loop.resumed", blocked_seconds=round(blocked, 3), stalls=self.stalls)
        if self._over.is_set():
            return
        if self._beats % ARMING_BEATS == 0:
            with suppress(*NO_FILE):  # then there is only the thread's line
                faulthandler.dump_traceback_later(DUMP_SECONDS, file=sys.stderr)
        self._beats += 1
        loop.call_later(BEAT_SECONDS, self._beat, loop)

    def _end_stall(self, blocked: float, now: float) -> None:
        """Counts an ended block, even if it kept the thread from running."""
        if not self._is_noticed:
            self.stalls += 1
        self._is_noticed = False
        self.blocked_seconds += blocked
        if blocked >= self._serious_seconds:
            self._serious_until = now + UNHEALTHY_SECONDS

    def _watch(self) -> None:
        """Runs in the thread: one log line for each block, with the stack of the loop's thread."""
        while not self._over.wait(self._seconds_to_look()):
            with self._lock:
                blocked = time.monotonic() - self._beat_at - BEAT_SECONDS
                if blocked < self._stall_seconds or self._is_noticed:
                    continue
                self._is_noticed = True
                self.stalls += 1
            frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to another thread's stack
            stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
            get_logger().error("event_loop.blocked", blocked_seconds=round(blocked, 3), stack=stack[-STACK_CHARACTERS:])

    def _seconds_to_look(self) -> float:
        """Time until a block would be noticed if the loop stops beating."""
        blocked_at = self._beat_at + BEAT_SECONDS + self._stall_seconds
        return max(BEAT_SECONDS / 2, blocked_at - time.monotonic())
