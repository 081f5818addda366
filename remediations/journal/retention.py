"""Removes old remediations from the journal."""

from __future__ import annotations

import asyncio

from chassis.clock import Clock
from chassis.log import get_logger
from remediations.core.model.errors import JournalError
from remediations.journal.port import Journal

PAUSE_SECONDS = 3600.0
DAY_SECONDS = 86400.0


async def forget_old(journal: Journal, clock: Clock, keep_days: float, stop: asyncio.Event) -> None:
    """Removes hourly what closed more than `keep_days` ago, until `stop` is set; open remediations always stay."""
    while not stop.is_set():
        await forget_once(journal, clock, keep_days)
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


async def forget_once(journal: Journal, clock: Clock, keep_days: float) -> None:
    """One removal; a failure of the journal is logged, and the next removal tries again."""
    try:
        number = await journal.prune(clock.now() - keep_days * DAY_SECONDS)
    except JournalError as error:
        get_logger().warning("journal.prune_failed", problem=str(error))
        return
    if number:
        get_logger().info("journal.pruned", remediations=number)
