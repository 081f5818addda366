"""The executor's memory of one remediation, kept in a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.clock import SystemClock


@dataclass
class ProgressInMemory:
    """When each step was begun; every step may be made within `step_seconds`."""

    step_seconds: float = 30.0
    begun: dict[int, float] = field(default_factory=dict)

    def begun_at(self, index: int) -> float | None:
        return self.begun.get(index)

    async def begin(self, index: int) -> float:
        self.begun[index] = SystemClock().now()
        return SystemClock().now() + self.step_seconds

    async def take_back(self, index: int, why: str) -> None:
        assert why
        del self.begun[index]
