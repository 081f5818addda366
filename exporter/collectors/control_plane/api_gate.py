"""The gate for requests that make the API work: one at a time, and none while an earlier one is unanswered.

The product answers such requests on its event loop; while the database hangs, one of them would freeze the API for all
users. So a request that reads the API's database passes only if the database canary was just quick and the database
answers now. The Redis request needs no database; it only has to be alone. The API may still work on an abandoned
request, so the gate stays shut until the API has answered a later /health. `/health` itself and the TCP probe bypass
the gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from chassis.errors import BackendError, Reason
from exporter.collector import CollectorSettings

if TYPE_CHECKING:
    from chassis.http.call import Call, Response
    from exporter.sources.sources import Sources

ANSWERING = "SELECT 1 AS answering"
"""Needs no table and no lock: it only shows whether the server answers on the kept connection."""
WAIT_SECONDS = 1.0
"""How long to wait for other requests: what the collectors' deadlines leave beside their own requests."""
FIRST_VERDICT_SECONDS = 0.1
"""Time between two checks whether the canary has ended its first round."""


class GateSettings(CollectorSettings):
    """When a collector does not query the API."""

    slow_database_seconds: float = Field(default=0.5, gt=0)
    """The API is not queried while the canary is slower than this, or the database does not answer within it. Too large
    freezes users' requests; too small never queries.
    """
    canary_age_seconds: float = Field(default=30.0, gt=0)
    """The API is not queried while the newest canary is older than this. Three intervals allow one late round."""


async def ask(sources: Sources, call: Call) -> Response:
    """Sends a request that must be alone; raises BackendError, and records if it may still be running."""
    try:
        return await sources.http.send(call)
    except (BackendError, asyncio.CancelledError) as error:
        if not isinstance(error, BackendError) or error.reason is Reason.TIMEOUT:
            sources.api_gate.given_up = sources.clock.monotonic()
        raise


@asynccontextmanager
async def alone(sources: Sources, wait_seconds: float = WAIT_SECONDS) -> AsyncIterator[bool]:
    """Yields whether the API is free for this block; waits up to `wait_seconds` for a running request."""
    gate = sources.api_gate
    try:
        async with asyncio.timeout(wait_seconds):
            await gate.lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield gate.is_free
    finally:
        gate.lock.release()


@asynccontextmanager
async def passing(
    sources: Sources, settings: GateSettings, wait_seconds: float = WAIT_SECONDS, verdict_seconds: float = 0.0
) -> AsyncIterator[bool]:
    """Yields whether a request that reads the API's database may be sent now; no other one is sent during the block.

    It waits up to `verdict_seconds` until the first canary has ended.
    """
    health, clock = sources.database_health, sources.clock
    until = clock.monotonic() + verdict_seconds
    while health.checked_monotonic is None and clock.monotonic() < until:
        await clock.sleep(FIRST_VERDICT_SECONDS)
    async with alone(sources, wait_seconds) as is_alone:
        yield is_alone and await is_harmless(sources, settings)


async def is_harmless(sources: Sources, settings: GateSettings) -> bool:
    """Whether the canary was quick and the database answers now; unknown counts as no.

    The canary may be an interval old: a database that froze since then would block the API's event loop.
    """
    if sources.postgres is None or not sources.database_health.may_probe(
        sources.clock.monotonic(),
        slow_seconds=settings.slow_database_seconds,
        max_age_seconds=settings.canary_age_seconds,
    ):
        return False
    try:
        await sources.postgres.fetch(ANSWERING, timeout_seconds=settings.slow_database_seconds)
    except BackendError:
        return False
    return True
