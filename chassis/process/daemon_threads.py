"""Threads that do not delay the end of the process.

A hanging network file system must not prevent the program's exit: Python waits for pool threads, but not for daemon
threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def in_thread(work: Callable[[], R], name: str = "") -> Future[R]:
    """Runs the work in its own daemon thread, so that it uses no shared thread."""
    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the future raises it again
            future.set_exception(error)

    future.set_running_or_notify_cancel()
    Thread(target=run, name=name or None, daemon=True).start()
    return future


def use_daemon_threads() -> None:
    """Makes `asyncio.to_thread` use daemon threads. For a short command that may hang on a file."""
    asyncio.get_running_loop().set_default_executor(_DaemonThreads())


class _DaemonThreads(ThreadPoolExecutor):
    """An executor that starts one daemon thread for each call."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begins the call."""
        return in_thread(partial(fn, *args, **kwargs))
