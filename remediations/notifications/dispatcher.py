"""Forwards what the engine did to the notifiers, without ever blocking the engine.

The engine only names a remediation that it has worked on. The dispatcher reads its records from the journal, so a crash
loses nothing: after a start it sends the remediations of the last minutes again, and the notifiers make sure that a
repeated milestone appears once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from chassis.clock import Clock
from chassis.log import get_logger
from remediations.core.model.errors import JournalError
from remediations.core.model.remediation import CLOSED, Remediation, State
from remediations.core.policies.policy import PolicySet
from remediations.journal.port import Journal
from remediations.notifications.timeline import Timeline, make_timeline

LOOK_BACK_SECONDS = 900.0
CATCH_UP = 200
"""The number of newest remediations that are read after a start, or after more were named than fit into the queue."""
MAX_WAITING = 10_000
PAUSE_SECONDS = 0.05
"""Pause between two reads of remediations, so that notifications never block the journal for decisions."""
FAILURE_SECONDS = 2.0


class Notifier(Protocol):
    """One way to notify people."""

    def enqueue(self, timeline: Timeline) -> None:
        """Takes over the current state of a remediation; must not block."""
        ...


class Dispatcher:
    """Gets remediations from the engine, reads their records, and passes them to the notifiers."""

    def __init__(
        self, journal: Journal, policies: Callable[[], PolicySet], clock: Clock, notifiers: Iterable[Notifier]
    ) -> None:
        self._journal = journal
        self._policies = policies
        self._clock = clock
        self._tellers = tuple(notifiers)
        self._known: dict[str, tuple[State, str]] = {}
        self._urgent: dict[str, None] = {}
        self._waiting: dict[str, None] = {}
        self._is_behind = True
        self._wake = asyncio.Event()

    def notify(self, remediation: Remediation) -> None:
        """Records that the engine has processed it. Does nothing else, and nothing without notifiers."""
        stage = _stage(remediation)
        if not self._tellers or self._known.get(remediation.id) == stage:
            return
        if len(self._known) >= MAX_WAITING:
            self._known.clear()
        self._known[remediation.id] = stage
        self._queue(remediation)

    def _queue(self, remediation: Remediation) -> None:
        """Inserts it in order: writes and their results before holds, of which a storm has thousands."""
        place = self._waiting if remediation.state in {State.HELD, State.CLAIMED} else self._urgent
        if len(place) >= MAX_WAITING:
            self._is_behind = True
        else:
            place[remediation.id] = None
        self._wake.set()

    async def run(self) -> None:
        """Notifies until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._tell_waiting()
            except JournalError as error:
                get_logger().warning("notifications.delayed", problem=str(error))
                await self._clock.sleep(FAILURE_SECONDS)
                continue
            await self._wake.wait()

    async def _tell_waiting(self) -> None:
        """Everything that waits, urgent ones first. Raises JournalError, and then nothing is lost."""
        if self._is_behind:
            await self._catch_up()
        while place := self._urgent or self._waiting:
            # Removed first, so that a remediation named again while it is read is sent again.
            name = next(iter(place))
            del place[name]
            try:
                await self._tell_one(name)
            except JournalError:
                place[name] = None
                raise
            await self._clock.sleep(PAUSE_SECONDS if place is self._waiting else 0.0)

    async def _tell_one(self, name: str) -> None:
        """Passes one remediation to every notifier."""
        try:
            remediation, records = await self._journal.story(name)
        except KeyError:
            return
        if remediation.state in CLOSED:
            self._known.pop(name, None)
        timeline = make_timeline(remediation, self._policies().named(remediation.policy), records)
        for notifier in self._tellers:
            notifier.enqueue(timeline)

    async def _catch_up(self) -> None:
        """Queues open remediations and those that have closed within the last minutes."""
        since = self._clock.now() - LOOK_BACK_SECONDS
        for remediation in reversed(await self._journal.listing(limit=CATCH_UP)):
            if remediation.state not in CLOSED or remediation.updated_at >= since:
                self._queue(remediation)
        self._is_behind = False


def _stage(remediation: Remediation) -> tuple[State, str]:
    """What must change before there is anything new to report: a repeated hold is the same hold."""
    state = State.HELD if remediation.state is State.CLAIMED else remediation.state
    return state, remediation.reason
