"""Reads when the control plane last reported to its licence server, in builds that publish it.

Without a licence link the product blocks the promotion and the testing of policies.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from chassis.config import read_secret
from chassis.errors import BackendError, ConfigError, PermanentError, Reason, TransientError
from chassis.http.call import Call
from exporter.collector import NotConfiguredError, Result, collector
from exporter.collectors.control_plane.api_gate import GateSettings, ask, passing
from exporter.items import Loss, note, past_of
from exporter.metrics import Metric
from exporter.settings import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from exporter.sources.sources import Sources

PRESENT = Metric(
    "controlcore_telemetry_present",
    "Whether this build of the API has /telemetry/config; absent when it did not answer.",
)
LAST = Metric(
    "controlcore_telemetry_last_transmission_timestamp_seconds",
    "Unix time of the last report to the licence server; absent when there was none.",
    unit="seconds",
)
NEXT = Metric(
    "controlcore_telemetry_next_transmission_timestamp_seconds",
    "Unix time for which the next report is planned.",
    unit="seconds",
)


GATE_WAIT_SECONDS, VERDICT_SECONDS = 2.0, 2.0
"""How long it waits for other requests to the API, and at the start for the first canary: the next try is far away."""


class TelemetrySettings(GateSettings):
    """How the licence link is read. Without a token the collector is not configured."""

    interval_seconds: float = Field(default=300.0, gt=0)
    """Seconds between two readings. Reports are made daily; smaller only adds requests."""
    timeout_seconds: float = 8.0
    """Deadline of one collection; above the request's and the waits for the canary and for other requests."""
    request_timeout_seconds: float = Field(default=3.0, gt=0)
    """Deadline of the request. The API's handlers block one another; too small misses a busy one."""
    path: str = Field(default="/telemetry/config", pattern="^/")
    """Path of the request: a GET that reads and writes nothing."""
    token_file: Path | None = None
    """File with a bearer token of a user without rights to change anything; read again each time."""


@collector(scope=Scope.DEPLOYMENT, settings=TelemetrySettings, metrics=(PRESENT, LAST, NEXT))
class TelemetryCollector:
    """Reads GET /telemetry/config; a build without it (404) is a finding, not a failure."""

    def __init__(self, settings: TelemetrySettings, url: str, token_file: Path, sources: Sources) -> None:
        self._settings = settings
        self._url = f"{url}{settings.path}"
        self._token_file = token_file
        self._sources = sources

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: TelemetrySettings, sources: Sources) -> AsyncIterator[TelemetryCollector]:
        """Yields the collector.

        Raises NotConfiguredError without an API, a token, or a database (its canary is needed).
        """
        url = sources.settings.api.url
        if url is None or settings.token_file is None:
            raise NotConfiguredError(
                "no API, or no token for it, is configured: set api.url and collectors.telemetry.token_file"
            )
        if sources.postgres is None:
            raise NotConfiguredError(
                "no database is configured; the API is only queried after the database's canary: set database.url"
            )
        yield cls(settings, url, settings.token_file, sources)

    async def collect(self) -> Result:
        """Queries once.

        Raises BackendError for an answer without times, or (suspended) when the request might do harm.
        """
        try:
            token = await asyncio.to_thread(read_secret, self._token_file, "collectors.telemetry.token_file")
        except ConfigError as error:
            raise PermanentError(Reason.AUTH, str(error)) from error
        headers = {"Authorization": f"Bearer {token.get_secret_value()}", "Connection": "close"}
        async with passing(self._sources, self._settings, GATE_WAIT_SECONDS, VERDICT_SECONDS) as is_open:
            if not is_open:
                # With the token, the API reads its user from the database.
                raise TransientError(
                    Reason.SUSPENDED, "not queried: its database is slow, or another request is running"
                )
            answer = await ask(self._sources, Call(self._url, self._settings.request_timeout_seconds, headers=headers))
        try:
            body = answer.require_ok().json()
        except BackendError as error:
            if error.reason is Reason.MISSING:
                return Result((PRESENT.value(0),))
            raise
        if not isinstance(body, dict):
            raise PermanentError(Reason.MALFORMED, "the answer is not a JSON object")
        return Result(
            (
                PRESENT.value(1),
                LAST.value(past_of(read_moment(body.get("last_transmission_at")), self._sources.clock.now())),
                NEXT.value(read_moment(body.get("next_scheduled_at"))),
            )
        )


def read_moment(text: Any) -> float | None:
    """A time as the API writes it (ISO 8601, UTC when it names no zone), Unix seconds; None for null.

    Anything else is counted as malformed and None: the other time of the answer is still known.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        note(Loss.MALFORMED)
        return None
