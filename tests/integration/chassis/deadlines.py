"""How the tests of the data stores freeze a server, and what they expect of a call that is due."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from chassis.errors import BackendError, Reason, TransientError
from tools.slowness import scaled, slowness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tools.servers.process import Server

DEADLINE_SECONDS = 0.6 * slowness()
SLACK_SECONDS = scaled(0.1)
GENEROUS_SECONDS = scaled(5.0)


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Every process of the server is stopped inside the block."""
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


async def failure_of(call: Awaitable[object]) -> BackendError:
    """The BackendError that ends the call."""
    with pytest.raises(BackendError) as caught:
        await call
    return caught.value


async def assert_in_time(call: Callable[[], Awaitable[object]]) -> None:
    """Each of three calls times out; the quickest keeps the promise exactly, whatever else the machine is doing."""
    spent = []
    for _ in range(3):
        started = time.monotonic()
        error = await failure_of(call())
        spent.append(time.monotonic() - started)
        assert (type(error), error.reason) == (TransientError, Reason.TIMEOUT)
        assert error.__cause__ is not None
    assert DEADLINE_SECONDS - 0.05 <= min(spent) <= DEADLINE_SECONDS + SLACK_SECONDS
    assert max(spent) < DEADLINE_SECONDS + 7 * SLACK_SECONDS
