"""Threads that nothing waits for at the end of the process.

A hanging network file system must not keep the program from ending: Python waits for the threads of a pool, not for a
daemon's.
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
    """Runs the work in a daemon thread of its own, so that it takes no thread that others need."""
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
    """From now on `asyncio.to_thread` takes daemon threads. For a command that asks little and may be left waiting."""
    asyncio.get_running_loop().set_default_executor(_DaemonThreads())


class _DaemonThreads(ThreadPoolExecutor):
    """A pool without threads of its own: each call has one."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begins the call."""
        return in_thread(partial(fn, *args, **kwargs))
