"""The follower's end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tools.standin.cluster import pod_runner


async def test_task_that_loses_its_first_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a request of aiohttp does whose own timeout comes at the same moment."""
    monkeypatch.setattr(pod_runner, "CANCEL_SECONDS", 0.01)
    began, lost = asyncio.Event(), []

    async def deaf() -> None:
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost.append(1)
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await began.wait()
    await pod_runner._end_all()
    assert (task.cancelled(), lost) == (True, [1])
