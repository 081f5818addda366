"""Asks Alertmanager whether an alert is silenced, inhibited or muted at this moment.

GET /api/v2/alerts says what it has done with the alert, GET /api/v2/silences what it will do with it: after a restart,
or beside a second Alertmanager, the alert itself may not be there. Both documents are those of API v2.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Protocol

from chassis.errors import BackendError, PermanentError, Reason
from chassis.http import Call, Response
from remediations.client_auth import authorization
from remediations.model import Alert
from remediations.settings import AlertmanagerSettings

MAX_TEXT = 200


class Sender(Protocol):
    """What sends a request; chassis.http.HttpClient, or a fake."""

    async def send(self, call: Call) -> Response:
        """One request; raises BackendError."""
        ...


class Alertmanager:
    """One Alertmanager (silences are shared within a cluster of them)."""

    def __init__(self, http: Sender, settings: AlertmanagerSettings) -> None:
        self._http = http
        self._settings = settings
        self.url = f"{settings.url.rstrip('/')}/api/v2"

    async def mutes(self, alert: Alert) -> tuple[str, ...]:
        """What keeps this alert from people, in words; empty when nothing does. Raises BackendError."""
        silences, alerts = await self._ask_both(alert)
        try:
            found = [_describe(item) for item in silences if _is_active(item) and _is_for(item, alert.labels)]
            for item in alerts:
                if item["fingerprint"] == alert.fingerprint or item["labels"] == dict(alert.labels):
                    found += _status(item["status"])
        except (KeyError, TypeError, AttributeError, re.error) as error:
            raise PermanentError(Reason.MALFORMED, f"not an answer of Alertmanager: {error!r}") from error
        return tuple(dict.fromkeys(found))

    async def _ask_both(self, alert: Alert) -> tuple[list[Any], list[Any]]:
        """Silences and alerts, asked at the same time; raises the first BackendError."""
        failures: list[BackendError] = []

        async def answer(what: str, params: Mapping[str, str]) -> list[Any]:
            try:
                return await self._ask(what, params)
            except BackendError as error:
                failures.append(error)
                return []

        async with asyncio.TaskGroup() as group:
            silences = group.create_task(answer("silences", {}), name="mutes.silences")
            wanted = {"filter": f"alertname={_quoted(alert.name)}"}
            alerts = group.create_task(answer("alerts", wanted), name="mutes.alerts")
        if failures:
            raise failures[0]
        return silences.result(), alerts.result()

    async def _ask(self, what: str, params: Mapping[str, str]) -> list[Any]:
        """A list of the API."""
        headers = await authorization(self._settings, "alertmanager")
        call = Call(f"{self.url}/{what}", self._settings.timeout_seconds, headers=headers, params=params or None)
        document = (await self._http.send(call)).require_ok().json()
        if not isinstance(document, list):
            raise PermanentError(Reason.MALFORMED, "not an answer of Alertmanager: expected a list")
        return document


def _quoted(value: str) -> str:
    """A value as a matcher's string: an alert's name is somebody else's text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _is_active(silence: Mapping[str, Any]) -> bool:
    """Whether the silence is in force now."""
    return bool(silence["status"]["state"] == "active")


def _is_for(silence: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether every matcher of the silence fits these labels; an absent label is the empty string."""
    return all(_fits(matcher, labels) for matcher in silence["matchers"])


def _fits(matcher: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One matcher; a regular expression is anchored at both ends."""
    actual = labels.get(matcher["name"], "")
    is_match = re.fullmatch(matcher["value"], actual) is not None if matcher["isRegex"] else actual == matcher["value"]
    return is_match is bool(matcher.get("isEqual", True))


def _describe(silence: Mapping[str, Any]) -> str:
    """A silence for people."""
    return f"silence {silence['id']} by {silence.get('createdBy', '')}: {silence.get('comment', '')}"[:MAX_TEXT]


def _status(status: Mapping[str, Any]) -> list[str]:
    """What Alertmanager did with the alert. `mutedBy` (time intervals) is newer than the others."""
    words = {"silencedBy": "silence", "inhibitedBy": "inhibited by alert", "mutedBy": "muted by"}
    return [
        f"{word} {', '.join(str(name) for name in status[key])}"[:MAX_TEXT]
        for key, word in words.items()
        if status.get(key)
    ]
