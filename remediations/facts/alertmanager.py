"""Reads from Alertmanager whether an alert is silenced, inhibited or muted now.

GET /api/v2/alerts shows the alert's current state. GET /api/v2/silences shows future effects: after a restart, or in a
cluster, the alert itself may be missing. A cluster member that is still settling after its start may lack silences, so
GET /api/v2/status is read first. All are documented in API v2.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.http.call import Call, Response
from chassis.http.client_auth import authorization
from remediations.core.model.alert import Alert
from remediations.core.policies.matchers import Matcher, MatcherError, MatchType, forget_expressions, quote
from remediations.settings import AlertmanagerSettings

MAX_TEXT = 200
MAX_UNREADABLE = 5
"""Unreadable silences that are named in one answer."""
TYPES = {
    (False, True): MatchType.EQUAL,
    (False, False): MatchType.NOT_EQUAL,
    (True, True): MatchType.REGEX,
    (True, False): MatchType.NOT_REGEX,
}
"""By isRegex and isEqual of the API."""

Take = Callable[[list[Any]], Awaitable[None]]


class Reader(Protocol):
    """Reads a list of the API; chassis.http.client.HttpClient, or a fake."""

    async def read_items(self, call: Call, take: Take) -> None:
        """Passes the items to `take` while they arrive; raises BackendError."""
        ...

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


@dataclass(slots=True)
class _Mutes:
    """The silences and states of one alert."""

    alert: Alert
    found: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Unreadable silences that may match the alert."""

    async def take_silences(self, items: list[Any]) -> None:
        """Evaluates these silences in a thread: an expression may take a quarter of a second.

        The thread ends with the call; otherwise it could run for minutes, and further calls would use up all threads.
        """
        given_up = threading.Event()
        try:
            await asyncio.to_thread(self._read_items, items, given_up)
        finally:
            given_up.set()

    def _read_items(self, items: list[Any], given_up: threading.Event) -> None:
        """Collects the silences in force that match the alert, or may match it."""
        for item in items:
            if given_up.is_set():
                break
            if item["status"]["state"] != "active":
                continue
            may_fit, problem = _fit(item, self.alert.labels)
            if may_fit and not problem:
                self.found.append(_describe(item))
            elif may_fit:
                self.unreadable.append(f"silence {item['id']} cannot be read: {problem}"[:MAX_TEXT])
        forget_expressions()

    async def take_alerts(self, items: list[Any]) -> None:
        """Reads the state of exactly this alert."""
        for item in items:
            if item["fingerprint"] == self.alert.fingerprint or item["labels"] == dict(self.alert.labels):
                self.found += _status(item["status"])


class Alertmanager:
    """One Alertmanager (a cluster shares its silences)."""

    def __init__(self, http: Reader, settings: AlertmanagerSettings) -> None:
        self._http = http
        self._settings = settings
        self.url = f"{settings.url.rstrip('/')}/api/v2"

    async def mutes(self, alert: Alert) -> tuple[str, ...]:
        """What silences, inhibits or mutes this alert, as text; empty if nothing does.

        Raises BackendError; also if nothing known mutes the alert, but a silence that may match it cannot be read, or
        may not have reached this member of the cluster yet.
        """
        mutes = _Mutes(alert)
        settling = await self.is_settling()
        failures: list[BackendError] = []

        async def read(what: str, params: Mapping[str, str], take: Take) -> None:
            try:
                await self._request(what, params, take)
            except BackendError as error:
                failures.append(error)
            except (KeyError, TypeError, AttributeError) as error:
                failures.append(PermanentError(Reason.MALFORMED, f"not an answer of Alertmanager: {error!r}"))

        async with asyncio.TaskGroup() as group:
            group.create_task(read("silences", {}, mutes.take_silences), name="mutes.silences")
            wanted = {"filter": f"alertname={quote(alert.name)}"}
            group.create_task(read("alerts", wanted, mutes.take_alerts), name="mutes.alerts")
        if failures:
            raise failures[0]
        if mutes.unreadable and not mutes.found:
            raise PermanentError(Reason.MALFORMED, "; ".join(mutes.unreadable[:MAX_UNREADABLE]))
        if settling and not mutes.found:
            raise TransientError(Reason.STARTING, "the cluster is settling: silences of other members may be missing")
        return tuple(dict.fromkeys(mutes.found))

    async def is_settling(self) -> bool:
        """Whether this member has just joined its cluster; False if the API shows no cluster."""
        answer = await self._http.send(await self._call("status", {}))
        if answer.status == HTTPStatus.NOT_FOUND:  # a server with the same API that is not Alertmanager
            return False
        document = answer.require_ok().json()
        cluster = document.get("cluster") if isinstance(document, dict) else None
        return isinstance(cluster, dict) and cluster.get("status") == "settling"

    async def _request(self, what: str, params: Mapping[str, str], take: Take) -> None:
        """Reads a list of the API.

        It has no parameter for the state, so the list may contain thousands of expired silences.
        """
        await self._http.read_items(await self._call(what, params), take)

    async def _call(self, what: str, params: Mapping[str, str]) -> Call:
        """A GET request to the API."""
        return Call(
            f"{self.url}/{what}",
            self._settings.timeout_seconds,
            headers=await authorization(self._settings, "alertmanager"),
            params=params or None,
            max_bytes=self._settings.max_answer_bytes,
            limit_setting="alertmanager.max_answer_bytes",
        )


def _fit(silence: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[bool, str]:
    """Whether the silence may match these labels, and why that is uncertain; an empty reason means it matches."""
    problem = ""
    for item in sorted(silence["matchers"], key=lambda matcher: bool(matcher["isRegex"])):
        kind = TYPES[bool(item["isRegex"]), bool(item.get("isEqual", True))]
        try:
            if not Matcher(str(item["name"]), kind, str(item["value"])).matches(labels):
                return False, ""
        except MatcherError as error:
            problem = str(error)
    return True, problem


def _describe(silence: Mapping[str, Any]) -> str:
    """A silence for people."""
    return f"silence {silence['id']} by {silence.get('createdBy', '')}: {silence.get('comment', '')}"[:MAX_TEXT]


def _status(status: Mapping[str, Any]) -> list[str]:
    """The alert's state in Alertmanager. `mutedBy` (time intervals) exists only in newer versions."""
    words = {"silencedBy": "silence", "inhibitedBy": "inhibited by alert", "mutedBy": "muted by"}
    return [
        f"{word} {', '.join(str(name) for name in status[key])}"[:MAX_TEXT]
        for key, word in words.items()
        if status.get(key)
    ]
