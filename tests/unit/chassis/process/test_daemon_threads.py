"""A process ends although one of its threads hangs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chassis.process.daemon_threads import in_thread
from tools.slowness import scaled

ALONE = """
import threading
from chassis.process.daemon_threads import in_thread
in_thread(threading.Event().wait)
"""
BEHIND_A_DEADLINE = """
import asyncio, threading
from chassis.process.daemon_threads import use_daemon_threads
async def ask():
    use_daemon_threads()
    try:
        async with asyncio.timeout(0.01):
            await asyncio.to_thread(threading.Event().wait)
    except TimeoutError:
        return await asyncio.to_thread(str, "told")
print(asyncio.run(ask()))
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("code", "told"), [(ALONE, b""), (BEHIND_A_DEADLINE, b"told\n")])
def test_thread_that_hangs_does_not_keep_the_process_from_ending(code: str, told: bytes) -> None:
    """SIGTERM was answered, and then the process waited for the thread until it was killed."""
    ended = subprocess.run([sys.executable, "-c", code], timeout=scaled(5), check=True, stdout=subprocess.PIPE)
    assert ended.stdout == told


def test_error_of_the_work_is_that_of_its_future() -> None:
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 / 0).result(scaled(5))
