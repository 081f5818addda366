"""Logs changes of state once, and changes that happen together in one line.

A backend that goes away takes its component and several collectors with it: that is one event for the reader, so
changes are gathered for a moment. A state that stays as it is is never written again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from chassis.clock import Clock
from chassis.errors import Reason
from exporter.results.record import CollectionOutcome

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

GATHER_SECONDS = 1.0


class StateLog:
    """Writes `health.changed`: components lost and regained, collectors failed (by reason) and recovered."""

    def __init__(self, clock: Clock, logger: FilteringBoundLogger) -> None:
        self._clock = clock
        self._logger = logger
        self._written: dict[str, Reason | None] = {}
        self._latest: dict[str, CollectionOutcome] = {}
        self._written_up: dict[str, bool] = {}
        self._latest_up: dict[str, bool] = {}
        self._has_changes = asyncio.Event()

    def note(self, outcome: CollectionOutcome) -> None:
        """Takes over how a collection ended; wakes the writer when that is news. What is well from the start is not."""
        name = outcome.collector
        self._latest[name] = outcome
        self._latest_up.update(outcome.components)
        is_news = self._written.setdefault(name, None) != outcome.reason
        for component, is_up in outcome.components.items():
            is_news |= self._written_up.setdefault(component, True) != is_up
        if is_news:
            self._has_changes.set()

    async def run(self) -> None:
        """Writes until cancelled, and writes what is left at the end."""
        try:
            while True:
                await self._has_changes.wait()
                await self._clock.sleep(GATHER_SECONDS)
                self._has_changes.clear()
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Writes one line with everything that changed since the last one, or nothing."""
        changes: dict[str, Any] = {}
        turned = [name for name in sorted(self._latest_up) if self._written_up[name] != self._latest_up[name]]
        for name in turned:
            is_up = self._written_up[name] = self._latest_up[name]
            changes.setdefault("components_regained" if is_up else "components_lost", []).append(name)
        errors: dict[str, str] = {}
        for name in sorted(self._latest):
            outcome = self._latest[name]
            if self._written[name] == outcome.reason:
                continue
            self._written[name] = outcome.reason
            if outcome.reason is None:
                changes.setdefault("collectors_recovered", []).append(name)
            else:
                changes.setdefault("collectors_failed", {}).setdefault(outcome.reason.value, []).append(name)
                errors.setdefault(outcome.reason.value, outcome.message)
        if errors:
            changes["errors"] = errors
        is_worse = "components_lost" in changes or "collectors_failed" in changes
        if changes:
            (self._logger.warning if is_worse else self._logger.info)("health.changed", **changes)
