"""Logs changes of state once, and changes that happen together in one line.

When a backend fails, its component and several collectors fail too. That is one event for the reader, so changes are
gathered for a moment. An unchanged state is never written again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from chassis.clock import Clock
from chassis.errors import Reason
from exporter.results.record import AccessRefusal, CollectionOutcome

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

GATHER_SECONDS = 1.0


class StateLog:
    """Writes `health.changed`: components lost and regained, collectors failed (by reason) and recovered.

    Components that refuse our own access are named with the reason, and again when they accept it.
    """

    def __init__(self, clock: Clock, logger: FilteringBoundLogger) -> None:
        self._clock = clock
        self._logger = logger
        self._written: dict[str, Reason | None] = {}
        self._latest: dict[str, CollectionOutcome] = {}
        self._written_up: dict[str, bool] = {}
        self._latest_up: dict[str, bool] = {}
        self._written_refused: dict[tuple[str, str], Reason] = {}
        self._latest_refused: dict[tuple[str, str], AccessRefusal | None] = {}
        """By collector and component; None once that collector has been let in again."""
        self._has_changes = asyncio.Event()

    def note(self, outcome: CollectionOutcome) -> None:
        """Records how a collection ended; wakes the writer if the state changed.

        A state that is good from the start is no change.
        """
        name = outcome.collector
        self._latest[name] = outcome
        self._latest_up.update(outcome.components)
        is_news = self._written.setdefault(name, None) != outcome.reason
        for component, is_up in outcome.components.items():
            is_news |= self._written_up.setdefault(component, True) != is_up
        self._latest_refused |= {(name, component): None for component, is_up in outcome.components.items() if is_up}
        self._latest_refused |= {(name, component): refusal for component, refusal in outcome.refused.items()}
        is_news |= any(map(self._is_refusal_news, self._latest_refused))
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

    def _is_refusal_news(self, access: tuple[str, str]) -> bool:
        """Whether the access is refused and was not, is refused for another reason, or is accepted again."""
        refusal = self._latest_refused[access]
        return self._written_refused.get(access) != (None if refusal is None else refusal.reason)

    def _refusals(self) -> dict[str, Any]:
        """Changes of our own access."""
        changes: dict[str, Any] = {}
        for access in filter(self._is_refusal_news, sorted(self._latest_refused)):
            _, component = access
            refusal = self._latest_refused[access]
            if refusal is None:
                del self._written_refused[access]
                changes.setdefault("access_accepted", []).append(component)
            else:
                self._written_refused[access] = refusal.reason
                changes.setdefault("access_refused", {})[component] = str(refusal)
        return changes

    def flush(self) -> None:
        """Writes one line with everything that changed since the last one, or nothing."""
        changes = self._refusals()
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
        is_worse = bool(changes.keys() & {"components_lost", "collectors_failed", "access_refused"})
        if changes:
            (self._logger.warning if is_worse else self._logger.info)("health.changed", **changes)
