"""A collector over the product's tables, collected whenever the test says so."""

from __future__ import annotations

from contextlib import asynccontextmanager

from tests.fakes.clock import ManualClock
from tests.fakes.sources import make_sources, value


class Watch:
    """A collector whose collections are further apart than rows need to settle."""

    def __init__(self, collector, clock, step_seconds) -> None:
        self._collector = collector
        self._clock = clock
        self._step_seconds = step_seconds
        self.families = ()

    async def collect(self, times=1):
        for _ in range(times):
            await self._clock.advance(self._step_seconds)
            self.families = (await self._collector.collect()).families

    def value(self, name, *labels):
        return value(self.families, name, *labels)


@asynccontextmanager
async def watching(product, collector_class, settings, *, step_seconds, kind=Watch):
    """Opens the collector and collects once: what was there before is known."""
    clock = ManualClock()
    async with product.session() as session:
        sources = make_sources(postgres=session, clock=clock)
        async with collector_class.open(settings, sources) as collector:
            watch = kind(collector, clock, step_seconds)
            await watch.collect()
            yield watch
