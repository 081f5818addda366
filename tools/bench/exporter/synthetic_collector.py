"""One collector in one file, with a number of series from the environment: a page of any size on the real program.

It is copied into a separate folder, where the exporter discovers it like any other collector. Every value changes at
every collection, so that no part of the page can be reused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exporter.collector import CollectorSettings, Result, collector
from exporter.metrics import Family, Metric
from exporter.settings import Scope
from exporter.sources.sources import Sources

COUNT = int(os.environ.get("CONTROLCORE_BENCH_SAMPLES", "0"))
FAMILIES = 50
METRICS = tuple(
    Metric(f"controlcore_bench_row_{number:03}_seconds", "A row of the benchmark.", labels=("bouncer", "stage"))
    for number in range(FAMILIES)
)


@collector(scope=Scope.DEPLOYMENT, settings=CollectorSettings, metrics=METRICS)
class RowsCollector:
    """Shows COUNT samples over FAMILIES metrics."""

    def __init__(self) -> None:
        self._collections = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, _settings: CollectorSettings, _sources: Sources) -> AsyncIterator[RowsCollector]:
        """Yields the collector."""
        yield cls()

    async def collect(self) -> Result:
        """The rows, with other values than the last time."""
        self._collections += 1
        return Result(await asyncio.to_thread(build, self._collections))


def build(number: int) -> tuple[Family, ...]:
    """The rows of one collection; made in a thread, because they take too long for the event loop."""
    return tuple(
        metric.family(
            {(f"bouncer-{row:05}", "server_handler"): number + row / 1000 for row in range(COUNT // FAMILIES)}
        )
        for metric in METRICS
    )
