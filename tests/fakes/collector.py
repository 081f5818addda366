"""Collectors that a test scripts, registered like real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from exporter.collector import CollectorSettings, CollectorSpec, Result
from exporter.metrics import Family, Metric
from exporter.settings import Scope

Step = Result | BaseException | Callable[[], Any]
"""One collection's behaviour: it returns, raises, or awaits the function's result."""

UP = Metric("example_up", "Whether the example is up.")
SIZE = Metric("example_size_bytes", "Size of the example.", labels=("part",))


def sizes(**values: float) -> Family:
    """The family example_size_bytes."""
    return SIZE.family(((part,), value) for part, value in values.items())


@dataclass
class ScriptedCollector:
    """Plays its steps one after the other, and repeats the last one."""

    steps: list[Step]
    running: int = 0
    most_running: int = 0
    collected: int = 0
    opened: int = 0
    closed: int = 0
    open_errors: list[BaseException] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    """What each opening was given."""

    async def collect(self) -> Result:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        step = self.steps[min(self.collected, len(self.steps) - 1)]
        self.collected += 1
        try:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, Result):
                return step
            result: Result = await step()
            return result
        finally:
            self.running -= 1

    def spec(self, name: str = "example", **changes: Any) -> CollectorSpec:
        """A registration that opens this object."""

        @asynccontextmanager
        async def open_it(_settings: Any, sources: Any) -> AsyncIterator[ScriptedCollector]:
            if self.open_errors:
                raise self.open_errors.pop(0)
            self.opened += 1
            self.sources.append(sources)
            try:
                yield self
            finally:
                self.closed += 1

        values: dict[str, Any] = {"metrics": (UP, SIZE), "always": (UP.name,), "doc": "An example."}
        return CollectorSpec(
            name, Scope.DEPLOYMENT, changes.pop("settings", CollectorSettings), open=open_it, **(values | changes)
        )


async def hang() -> Result:
    """Never ends by itself."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")
