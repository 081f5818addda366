"""Writes Kubernetes Events about the targets, so that `kubectl describe` shows what was planned, done or held, and why.

An Event's name is derived from the remediation and the number of the milestone, so creating it twice has one effect. No
step waits for an Event. Without the right to create them, the failure is counted and logged, and nothing else changes.
In mode observe none is written, because that mode needs no right to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from chassis.clock import Clock
from chassis.errors import BackendError, ConflictError, TransientError
from chassis.kubernetes.client import JsonObject
from chassis.kubernetes.paths import events_path
from chassis.log import get_logger
from remediations.core.model.alert import Mode
from remediations.core.model.names import FIELD_MANAGER
from remediations.metrics import EventStatus, Telemetry
from remediations.notifications.timeline import Milestone, MilestoneKind, Timeline

API_VERSIONS: Mapping[str, str] = {"Deployment": "apps/v1", "CronJob": "batch/v1"}
"""Kinds of target that are objects in Kubernetes."""
REASONS: Mapping[MilestoneKind, str] = {
    MilestoneKind.PLANNED: "RemediationPlanned",
    MilestoneKind.ACTED: "RemediationActed",
    MilestoneKind.HELD: "RemediationHeld",
    MilestoneKind.VERIFIED: "RemediationVerified",
    MilestoneKind.FAILED: "RemediationFailed",
}
RIGHT = "create core/events"
"""The right that is needed, in the namespaces of the targets."""
LATE_SECONDS = 900.0
"""An Event that could not be written for this time is given up, because it is outdated."""
RETRY_SECONDS = 5.0
MAX_WAITING = 1000
MAX_KNOWN = 10_000
MAX_MESSAGE = 1000
"""The API accepts 1024 characters."""


class Creator(Protocol):
    """What creates objects; chassis.kubernetes.client.KubernetesClient, or a fake."""

    async def create(
        self, path: str, body: JsonObject, *, field_manager: str, timeout_seconds: float, dry_run: bool = False
    ) -> JsonObject:
        """Creates an object; raises BackendError."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """One Event to be written."""

    name: str
    namespace: str
    body: JsonObject
    at: float


def notes(timeline: Timeline, instance: str) -> Iterator[Note]:
    """The Events of a remediation; none in mode observe, and none about an object that no policy lists."""
    remediation, policy = timeline.remediation, timeline.policy
    if policy is None or policy.mode is Mode.OBSERVE or not timeline.is_listed:
        return
    if remediation.target.kind not in API_VERSIONS:
        return
    for number, moment in enumerate(timeline.moments):
        name = f"{remediation.target.name[:200]}.{remediation.id}.{number}"
        yield Note(name, remediation.target.namespace, _body(timeline, moment, name, instance), moment.at)


def _body(timeline: Timeline, moment: Milestone, name: str, instance: str) -> JsonObject:
    """An Event of core/v1, in the form that every kubectl shows."""
    remediation, target = timeline.remediation, timeline.remediation.target
    at = datetime.fromtimestamp(moment.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {
        "apiVersion": API_VERSIONS[target.kind],
        "kind": target.kind,
        "namespace": target.namespace,
        "name": target.name,
    }
    is_warning = moment.kind in {MilestoneKind.HELD, MilestoneKind.FAILED}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name,
            "namespace": target.namespace,
            "annotations": {"controlcore.io/remediation-id": remediation.id},
        },
        "involvedObject": involved | ({"uid": timeline.uid} if timeline.uid else {}),
        "type": "Warning" if is_warning else "Normal",
        "reason": REASONS[moment.kind],
        "message": _message(timeline, moment),
        "action": moment.kind.value,
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance[:128],
    }


def _message(timeline: Timeline, moment: Milestone) -> str:
    """The remediation, its mode, and why."""
    mode = "" if timeline.policy is None else f" (mode {timeline.policy.mode.value})"
    why = f"{moment.reason}: {moment.detail}" if moment.detail else moment.reason
    return f"remediation {timeline.remediation.id}, policy {timeline.remediation.policy}{mode}: {why}"[:MAX_MESSAGE]


class EventWriter:
    """Writes the Events of every remediation that it gets."""

    def __init__(
        self, api: Creator, clock: Clock, telemetry: Telemetry, *, timeout_seconds: float, instance: str
    ) -> None:
        self._api = api
        self._clock = clock
        self._telemetry = telemetry
        self._timeout_seconds = timeout_seconds
        self._instance = instance
        self._known: dict[str, None] = {}
        self._waiting: dict[str, Note] = {}
        self._wake = asyncio.Event()
        self._is_failing = False

    def enqueue(self, timeline: Timeline) -> None:
        """Queues the Events that have not been written, unless they are old."""
        since = self._clock.now() - LATE_SECONDS
        for note in notes(timeline, self._instance):
            if note.name in self._known or note.at < since:
                continue
            if len(self._waiting) >= MAX_WAITING:
                self._fail("too many wait")
                continue
            self._remember(note.name)
            self._waiting[note.name] = note
        self._wake.set()

    def _remember(self, name: str) -> None:
        """Remembers a written name; the oldest are dropped, because the API server still has them."""
        self._known[name] = None
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            self._wake.clear()
            while self._waiting:
                note = next(iter(self._waiting.values()))
                if await self._write(note):
                    del self._waiting[note.name]
                else:
                    # At the end: one that the server cannot accept must not delay the others.
                    self._waiting[note.name] = self._waiting.pop(note.name)
                    await self._clock.sleep(RETRY_SECONDS)
            await self._wake.wait()

    async def _write(self, note: Note) -> bool:
        """Whether the Event is done: written, already present, or dropped."""
        try:
            await self._api.create(
                events_path(note.namespace),
                note.body,
                field_manager=FIELD_MANAGER,
                timeout_seconds=self._timeout_seconds,
            )
        except ConflictError:
            return True
        except TransientError as error:
            if self._clock.now() - note.at < LATE_SECONDS:
                return False
            self._fail(f"{error.reason.value}: {error}")
            return True
        except BackendError as error:
            self._fail(f"{error.reason.value}: {error}")
            return True
        self._telemetry.count_event(EventStatus.CREATED)
        self._is_failing = False
        return True

    def _fail(self, problem: str) -> None:
        """Counts an Event that is given up; the first of several in a row is logged."""
        self._telemetry.count_event(EventStatus.FAILED)
        if not self._is_failing:
            get_logger().warning("event.refused", problem=problem)
        self._is_failing = True
