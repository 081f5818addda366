"""The remediator's HTTP server: Alertmanager delivers here, Prometheus scrapes here.

A delivery is acknowledged only after the journal has stored it durably. Temporary failures (journal locked or full, too
many requests, no readable token) are answered 503, which Alertmanager retries with back-off inside the same flush. 429
and other 4xx make it drop the flush, so they are used only for requests that can never be accepted.
`remediations.http.auth` checks access; an unknown path needs a credential like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from chassis.clock import Clock
from chassis.http.request_bodies import BodyError, BodyReader, NoRoomError, Room
from chassis.http.web_auth import WebGuard
from chassis.log import Quiet, get_logger
from chassis.process import build_info as build
from remediations.core.intake import Deduplication, Payload, PayloadError, match_alerts, parse_payload
from remediations.core.model.alert import Delivery
from remediations.core.model.errors import JournalError
from remediations.core.policies.policy import PolicySet
from remediations.engine.simulation import Planner
from remediations.facts.pause_file import read_pauses
from remediations.http.api import Api
from remediations.http.auth import AccessControl, require_roles
from remediations.http.roles import Roles
from remediations.http.simulation_api import Check, DecisionsApi
from remediations.http.tokens import TokenCredentials
from remediations.journal.port import Journal, Stored
from remediations.metrics import AlertStatus, Notification, Telemetry

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A storm of 5,000 alerts is about 5.3 MiB; aiohttp's default limit of 1 MiB would always refuse it."""
MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Decompressed bodies that are processed at the same time; further ones get 503 instead of being kept in memory."""
THREAD_BYTES = 128 * 1024
"""A larger body is parsed in a thread: parsing 1 MiB takes about 10 ms."""
READ_SECONDS = 10.0
"""A sender that has not delivered its body by then is disconnected; Alertmanager itself gives up after about as
long."""
STORE_SECONDS = 150.0
"""Only a last resort: the journal has its own, shorter deadline (setting journal.timeout_seconds)."""
LOOK_SECONDS = 5.0
"""Longest wait for the journal's state on a page."""
JOURNAL_CHECK_SECONDS = 1.0
"""The journal is tested for writing at most this often, however often a page needs it."""


@dataclass(frozen=True, slots=True)
class ServerDependencies:
    """The server's dependencies."""

    journal: Journal
    policies: Callable[[], PolicySet]
    """The policy file in force."""
    credentials: TokenCredentials
    telemetry: Telemetry
    clock: Clock
    wake: Callable[[], None]
    """Wakes the engine after new alerts; must not block."""
    planner: Planner
    """Decides about a payload without writing."""
    check: Check
    """Checks the configuration for faults."""
    pause_file: Path | None = None
    sameness: Deduplication = field(default_factory=Deduplication)
    """When two deliveries are the same alert."""
    guard: WebGuard | None = None
    """The web configuration file, if there is one."""
    warnings: Callable[[], tuple[str, ...]] = tuple
    """Warnings that do not prevent readiness and are shown there. Shown without a credential, so they name no files."""
    roles: Roles = field(default_factory=lambda: Roles(None))
    """The roles of the credentials."""


class Server:
    """The routes and their state; `application()` returns the application."""

    def __init__(self, parts: ServerDependencies) -> None:
        self._parts = parts
        self._room = Room(MAX_PENDING_BYTES)
        self._quiet = Quiet(parts.clock)
        """Refusals of one kind write one line a minute, because anyone can cause them."""
        self._is_ready = False
        self._standing_at: float | None = None
        self._standing_lock = asyncio.Lock()
        self._log = get_logger()

    def application(self) -> web.Application:
        """The aiohttp application with every route."""
        parts = self._parts
        access = AccessControl(parts.credentials, parts.guard, parts.roles, self._refuse)
        app = web.Application(middlewares=[access.middleware], client_max_size=MAX_BODY_BYTES)
        if parts.guard is not None:
            app.on_response_prepare.append(parts.guard.add_headers)
        Api(parts.journal, parts.clock, parts.wake, parts.policies).add_to(app)
        DecisionsApi(parts.planner, parts.journal, parts.check).add_to(app)
        app.router.add_post("/api/v1/alerts", self._receive)
        app.router.add_get("/", self._landing)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/-/healthy", self._healthy)
        app.router.add_get("/-/ready", self._ready)
        require_roles(app)
        return app

    def _refuse(self, status: Notification, code: int, reason: str) -> web.Response:
        """Counts, logs and answers a refused request."""
        self._parts.telemetry.count_notification(status)
        if number := self._quiet.count((status, code)):
            self._log.warning(
                "notification.refused", status=status.value, http_status=code, reason=reason[:300], number=number
            )
        return web.json_response({"status": status.value, "error": reason}, status=code)

    async def _receive(self, request: web.Request) -> web.Response:
        """POST /api/v1/alerts: stores, then acknowledges."""
        with BodyReader(self._room, MAX_BODY_BYTES) as reader:
            return await self._answer(request, reader)

    async def _answer(self, request: web.Request, reader: BodyReader) -> web.Response:
        """The status that makes Alertmanager send this again, or not."""
        try:
            return await self._accept(request, reader)
        except BodyError as error:
            is_malformed = error.status == HTTPStatus.BAD_REQUEST
            status = Notification.MALFORMED if is_malformed else Notification.REJECTED
            return self._refuse(status, error.status, str(error))
        except NoRoomError as error:
            return self._refuse(Notification.UNAVAILABLE, 503, str(error))
        except PayloadError as error:
            return self._refuse(Notification.MALFORMED, 400, str(error))
        except JournalError as error:
            return self._refuse(Notification.UNAVAILABLE, 503, f"the journal cannot be written: {error}")
        except TimeoutError:
            return self._refuse(Notification.UNAVAILABLE, 503, "it took too long; send it again")

    async def _accept(self, request: web.Request, reader: BodyReader) -> web.Response:
        """Reads, parses, matches and stores one delivery."""
        async with asyncio.timeout(READ_SECONDS):
            body = await reader.read(request)
        now = self._parts.clock.now()
        if len(body) > THREAD_BYTES:
            payload, delivery = await asyncio.to_thread(self._understand, body, now)
        else:
            payload, delivery = self._understand(body, now)
        async with asyncio.timeout(STORE_SECONDS):
            stored = await self._parts.journal.append(delivery)
        if stored.opened or stored.resolved:
            self._parts.wake()
        self._count(payload, delivery, stored)
        return web.json_response({"status": "stored", "opened": len(stored.opened), "joined": len(stored.joined)})

    def _understand(self, body: bytes, now: float) -> tuple[Payload, Delivery]:
        """The body as alerts, and the alerts as a delivery."""
        payload = parse_payload(body)
        return payload, match_alerts(payload, self._parts.policies(), now, self._parts.sameness)

    def _count(self, payload: Payload, delivery: Delivery, stored: Stored) -> None:
        """Counts and logs a durable delivery."""
        numbers = {
            AlertStatus.STORED: len(stored.opened),
            AlertStatus.DUPLICATE: len(stored.joined) + stored.duplicates,
            AlertStatus.RESOLVED: sum(not match.alert.is_firing for match in delivery.matches),
            AlertStatus.QUARANTINED: len(delivery.quarantined),
            AlertStatus.UNMATCHED: delivery.unmatched,
            AlertStatus.OWN: payload.own,
        }
        for status, number in numbers.items():
            self._parts.telemetry.count_alerts(status, number)
        self._parts.telemetry.count_truncated(payload.truncated)
        self._parts.telemetry.count_notification(Notification.STORED)
        if payload.has_watchdog:
            self._parts.telemetry.see_watchdog(delivery.received_at)
        if payload.doctor_at is not None:
            self._parts.telemetry.see_doctor(payload.doctor_at)
        self._log.info(
            "notification.stored",
            **{f"alerts_{status.value}": number for status, number in numbers.items()},
            alerts_truncated=payload.truncated,
            remediations=list(stored.opened[:20]),
        )
        for piece in delivery.quarantined[:5]:
            self._log.warning("alert.quarantined", problem=piece.problem[:300])

    async def _healthy(self, _request: web.Request) -> web.Response:
        """GET /-/healthy: the event loop answers; 503 for a while after it was blocked for long.

        It checks nothing else.
        """
        problem = self._parts.telemetry.watchdog.problem
        return web.Response(text=f"{problem or 'healthy'}\n", status=503 if problem else 200)

    async def _ready(self, _request: web.Request) -> web.Response:
        """GET /-/ready: 200 while the journal can be written; other problems are on further lines."""
        await self.check_journal()
        first = "ready" if self._is_ready else "the journal cannot be written"
        lines = (first, *self._parts.warnings())
        return web.Response(text="".join(f"{line}\n" for line in lines), status=200 if self._is_ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        """GET /metrics."""
        await self.check_journal()
        body, content_type = build.render(self._parts.telemetry.registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def check_journal(self) -> None:
        """Updates the journal's state, at most once in JOURNAL_CHECK_SECONDS."""
        async with self._standing_lock:
            now = self._parts.clock.monotonic()
            if self._standing_at is not None and now - self._standing_at < JOURNAL_CHECK_SECONDS:
                return
            journal, counts, is_paused, sizes = self._parts.journal, None, None, None
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    sizes = await journal.sizes()
                    await journal.check_integrity()
                    counts = await journal.counts()
                    pauses = await journal.pauses(self._parts.clock.now())
                    is_paused = bool(await asyncio.to_thread(read_pauses, self._parts.pause_file, pauses))
                self._is_ready = True
            except (JournalError, TimeoutError):
                self._is_ready = False
                # The pause file needs no journal; pauses in the journal are unknown.
                is_paused = bool(await asyncio.to_thread(read_pauses, self._parts.pause_file, ())) or None
            self._parts.telemetry.see_journal(counts, sizes, is_writable=self._is_ready)
            self._parts.telemetry.see_pause(is_paused=is_paused)
            self._standing_at = self._parts.clock.monotonic()

    async def _landing(self, _request: web.Request) -> web.Response:
        """GET /: what this program is, and its paths."""
        return web.Response(text=_LANDING.replace("{version}", self._parts.telemetry.version), content_type="text/html")


_LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Control Core remediator</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}code{background:#8882}
</style>
<h1>Control Core remediator</h1>
<p>Version {version}. Receives alerts, decides, acts within its policies, proves the result.</p>
<ul>
<li><code>POST /api/v1/alerts</code> takes Alertmanager's webhook (bearer token)</li>
<li><code>GET /api/v1/remediations</code>, approvals, pauses, breakers, who did what:
<code>GET /api/v1/openapi.json</code></li>
<li><a href="/metrics">/metrics</a></li>
<li><a href="/-/healthy">/-/healthy</a> the process answers</li>
<li><a href="/-/ready">/-/ready</a> the journal can be written</li>
</ul>
<p>On the host: <code>controlcore-remediator list</code>, <code>show ID</code>, <code>pause POLICY --reason WHY</code>,
<code>pause --all --reason WHY</code>.</p>
</html>
"""
