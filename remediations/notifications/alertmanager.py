"""Sends announcements of what is planned, done or held to every member of an Alertmanager cluster.

There is one table of the current alerts. Each member gets new alerts at once, all alerts periodically so that they do
not expire, and each alert's end. Members do not share alerts, so each is sent everything, and a member that is down
does not delay the others. After a restart the table is rebuilt from the journal; alerts that ended meanwhile expire in
Alertmanager.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from chassis.clock import Clock
from chassis.errors import BackendError
from chassis.http.call import Call, Response
from chassis.http.client_auth import authorization
from chassis.log import get_logger
from remediations.metrics import Announcement, Telemetry
from remediations.notifications.alerts import AnnouncedAlert, AnnouncementForm, Labels, announce, to_wire
from remediations.notifications.timeline import Timeline
from remediations.settings import AlertmanagerSettings

RESEND_SECONDS = 60.0
LIFETIME_SECONDS = 4 * RESEND_SECONDS
"""An alert expires after this time without being sent again, so a remediator that is gone leaves no alert."""
RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 60.0
MAX_OWNERS = 10_000
"""Most remediations behind announcements; there are many only if alerts name targets that no policy lists, and those
share one alert."""


class Poster(Protocol):
    """Sends requests; chassis.http.client.HttpClient, or a fake."""

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


@dataclass(slots=True)
class _ActiveAnnouncement:
    """One alert of the table; `version` grows with each change."""

    standing: AnnouncedAlert
    owners: set[str]
    version: int


@dataclass(slots=True)
class _Member:
    """One Alertmanager, and what it has been sent: labels → (version, monotonic seconds)."""

    url: str
    heard: dict[Labels, tuple[int, float]] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    @property
    def name(self) -> str:
        """Host and port, for the log: the address may contain a password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or ''}".rstrip(":")


class Announcer:
    """Posts to every member of one Alertmanager cluster."""

    def __init__(self, http: Poster, settings: AlertmanagerSettings, clock: Clock, telemetry: Telemetry) -> None:
        self._http = http
        self._form = AnnouncementForm(settings.announce_labels, settings.announce_seconds, settings.announce_command)
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._members = tuple(_Member(url) for url in dict.fromkeys((settings.url, *settings.more_urls)))
        self._table: dict[Labels, _ActiveAnnouncement] = {}
        self._owned: dict[str, set[Labels]] = {}

    def enqueue(self, timeline: Timeline) -> None:
        """Updates the table for one remediation."""
        name = timeline.remediation.id
        wanted = {item.labels: item for item in announce(timeline, self._form)}
        if name not in self._owned and (not wanted or len(self._owned) >= MAX_OWNERS):
            return
        for labels in self._owned.pop(name, set()) - wanted.keys():
            self._end(labels, name)
        for labels, standing in wanted.items():
            self._stand(labels, standing, name)
        if not timeline.is_closed:
            self._owned[name] = set(wanted)
        for member in self._members:
            member.wake.set()

    def _stand(self, labels: Labels, standing: AnnouncedAlert, owner: str) -> None:
        """Sets one alert as current, or with the end that its owner gives; it began when its first owner set it."""
        entry = self._table.get(labels)
        if entry is None:
            owners = {owner} if standing.ends_at is None else set()
            self._table[labels] = _ActiveAnnouncement(standing, owners, 1)
            return
        before = entry.standing
        if standing.ends_at is None:
            entry.owners.add(owner)
        else:
            entry.owners.discard(owner)
        is_same = before.ends_at is None or before.ends_at > standing.starts_at
        starts_at = min(before.starts_at, standing.starts_at) if is_same else standing.starts_at
        entry.standing = replace(standing, starts_at=starts_at, ends_at=None if entry.owners else standing.ends_at)
        entry.version += 1

    def _end(self, labels: Labels, owner: str) -> None:
        """One alert ends now, unless another remediation needs it."""
        entry = self._table[labels]
        entry.owners.discard(owner)
        if not entry.owners:
            entry.standing = replace(entry.standing, ends_at=self._clock.now())
            entry.version += 1

    async def run(self) -> None:
        """Sends until cancelled."""
        async with asyncio.TaskGroup() as group:
            for member in self._members:
                group.create_task(self._keep_told(member), name=f"announcer.{member.name}")

    async def _keep_told(self, member: _Member) -> None:
        """Sends one member what it needs, and waits until it needs something again."""
        while True:
            member.wake.clear()
            pause = RESEND_SECONDS / 2
            if not await self._send_due(member):
                pause = min(LONGEST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(member.failures - 1, 10))
                await self._clock.sleep(pause)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await member.wake.wait()

    async def _send_due(self, member: _Member) -> bool:
        """One request with everything that this member needs; True if nothing is left to send."""
        self._forget_ended()
        now, monotonic = self._clock.now(), self._clock.monotonic()
        heard = member.heard
        due = {labels: entry for labels, entry in self._table.items() if _is_due(heard.get(labels), entry, monotonic)}
        if not due:
            return True
        sent = {labels: (entry.version, monotonic) for labels, entry in due.items()}
        body = [to_wire(entry.standing, now, LIFETIME_SECONDS) for entry in due.values()]
        try:
            await self._post(member, body)
        except BackendError as error:
            self._telemetry.count_announcement(Announcement.FAILED)
            if member.failures == 0:
                get_logger().warning("announcement.failed", alertmanager=member.name, reason=error.reason.value)
            member.failures += 1
            return False
        self._telemetry.count_announcement(Announcement.SENT)
        if member.failures:
            get_logger().info("announcement.resumed", alertmanager=member.name, failures=member.failures)
        member.failures = 0
        heard.update(sent)
        return True

    async def _post(self, member: _Member, body: list[dict[str, Any]]) -> None:
        """One request to one member; raises BackendError unless it accepted everything."""
        url, headers = f"{member.url.rstrip('/')}/api/v2/alerts", await authorization(self._settings, "alertmanager")
        call = Call(url, self._settings.timeout_seconds, method="POST", headers=headers, json=body)
        (await self._http.send(call)).require_ok()

    def _forget_ended(self) -> None:
        """Drops alerts that Alertmanager has resolved long ago."""
        before = self._clock.now() - LIFETIME_SECONDS
        gone = [key for key, entry in self._table.items() if (entry.standing.ends_at or before) < before]
        for labels in gone:
            del self._table[labels]
            for member in self._members:
                member.heard.pop(labels, None)


def _is_due(heard: tuple[int, float] | None, entry: _ActiveAnnouncement, monotonic: float) -> bool:
    """Whether a member lacks the newest version, or would let a current alert expire."""
    if heard is None or heard[0] != entry.version:
        return True
    return entry.standing.ends_at is None and monotonic - heard[1] >= RESEND_SECONDS
