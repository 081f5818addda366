"""The one door through which requests go that make the API work: one at a time, none while the database is slow.

The product answers such requests on its event loop. While the database hangs, each of them takes the API's users with
it; so they pass only when the database canary has just been quick and the database answers at this moment. `/health`
and the TCP probe, which touch neither database nor cache, do not come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError
from exporter.collectors import CollectorSettings

if TYPE_CHECKING:
    from exporter.sources import Sources

ANSWERING = "SELECT 1 AS answering"
"""Answered without a table or a lock: only whether the server talks on the connection that the exporter keeps."""
FIRST_VERDICT_SECONDS = 0.1
"""Between two looks whether the canary has ended its first round."""


class GateSettings(CollectorSettings):
    """When a collector leaves the API unasked."""

    slow_database_seconds: float = Field(default=0.5, gt=0)
    """A canary slower than this leaves the API unasked, and so does a database that does not answer within it just
    before. Too large freezes users' requests, too small never asks."""
    canary_age_seconds: float = Field(default=30.0, gt=0)
    """A canary older than this leaves the API unasked; three of its intervals, so that one late round is forgiven."""


@asynccontextmanager
async def alone(sources: Sources, wait_seconds: float) -> AsyncIterator[bool]:
    """Yields whether nobody else asks the API while the block lasts; waits up to `wait_seconds` for whoever does."""
    try:
        async with asyncio.timeout(wait_seconds):
            await sources.api_lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield True
    finally:
        sources.api_lock.release()


@asynccontextmanager
async def passing(
    sources: Sources, settings: GateSettings, wait_seconds: float, verdict_seconds: float = 0.0
) -> AsyncIterator[bool]:
    """Yields whether the API may be asked now, what reads its database too; while the block lasts, nobody else does."""
    async with alone(sources, wait_seconds) as is_alone:
        yield is_alone and await is_harmless(sources, settings, verdict_seconds)


async def is_harmless(sources: Sources, settings: GateSettings, verdict_seconds: float = 0.0) -> bool:
    """Whether the canary was quick and the database answers at this moment; unknown is no.

    The canary may be an interval old: a database that froze since would take the API's event loop with it. Before the
    first canary of all has ended it is waited for, up to `verdict_seconds`.
    """
    health, clock = sources.database_health, sources.clock
    if sources.postgres is None:
        return False
    until = clock.monotonic() + verdict_seconds
    while health.checked_monotonic is None and clock.monotonic() < until:
        await clock.sleep(FIRST_VERDICT_SECONDS)
    if not health.may_probe(
        clock.monotonic(), slow_seconds=settings.slow_database_seconds, max_age_seconds=settings.canary_age_seconds
    ):
        return False
    try:
        await sources.postgres.fetch(ANSWERING, timeout_seconds=settings.slow_database_seconds)
    except BackendError:
        return False
    return True
