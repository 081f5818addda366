"""Serves the current snapshot and the program's own health. No handler reads a backend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from chassis.http.web_auth import WebGuard
from chassis.process.loop_watchdog import LoopWatchdog
from exporter.exposition.negotiation import Form, choose
from exporter.exposition.publisher import Snapshot, write
from exporter.exposition.selection import Selection, select
from exporter.http import debug_page
from exporter.http.reload import TooManyError
from exporter.http.scrape_limiter import RefusedError, ScrapeLimiter
from exporter.self_metrics import Refusal
from exporter.settings import DEPLOYMENT_NAME, ServerSettings

REMEDIATOR_PORT = 9878
PATHS: dict[str, str] = {
    "/": "what this exporter watches and the state of each collector",
    "/metrics": "the metrics, as text 0.0.4 or OpenMetrics 1.0; ?name[]=METRIC and ?collect[]=COLLECTOR choose some",
    "/probe": "?target=NAME: the metrics of a deployment from the configuration",
    "/-/healthy": "200 while the process serves, 503 for 30 s after its event loop was blocked for 5 s",
    "/-/ready": "200 once every collector has ended its first collection, successful or not",
    "/debug/collectors": "the last 20 results of each collector; ?format=json for programs",
}
RELOAD_PATH = "/-/reload"
ALERTS_PATH = "/api/v1/alerts"
POST_PATHS = (RELOAD_PATH, ALERTS_PATH)
TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
JSON_TYPE = "application/json"
THREAD_FROM_BYTES = 64 * 1024


def _headers(form: Form) -> CIMultiDictProxy[str]:
    """The headers of one form of the page."""
    named = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
    return CIMultiDictProxy(CIMultiDict(named | ({"Content-Encoding": "gzip"} if form.is_gzip else {})))


HEADERS = {form: _headers(form) for form in (Form(om, gz) for om in (False, True) for gz in (False, True))}


@dataclass(frozen=True, slots=True)
class Scrape:
    """The properties of a request for metrics."""

    scraper: str
    """The scraper: peer address, program and query. Two Prometheus servers are two scrapers."""
    deployment: str = ""
    """The deployment; `""` means the one at /metrics."""
    timeout_seconds: float | None = None
    """The scraper's timeout, from its header."""
    connection: int | None = None
    """The peer's port: scrapers keep their connection, which distinguishes two behind one address."""


class ExporterView(Protocol):
    """The parts of the program that its pages show."""

    async def scrape(self, scrape: Scrape) -> Snapshot | None:
        """The snapshot for an answer; None when there is no such deployment."""
        ...

    def owners(self, deployment: str) -> Mapping[str, str]:
        """The collector of each metric."""
        ...

    def records(self) -> debug_page.Records:
        """The collectors of each deployment."""
        ...

    def pending(self) -> tuple[str, ...]:
        """The collectors that have not ended a collection."""
        ...

    def describe(self) -> str:
        """The landing page."""
        ...

    def now_monotonic(self) -> float:
        """The clock that decides when records are stale."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Reads the configuration again; returns its faults, none when it is in force now."""
        ...


class WebServer:
    """The exporter's pages."""

    def __init__(
        self, shown: ExporterView, gate: ScrapeLimiter, settings: ServerSettings, watchdog: LoopWatchdog | None = None
    ) -> None:
        self._shown = shown
        self._gate = gate
        self._settings = settings
        self._watchdog = watchdog or LoopWatchdog()

    def application(self, guard: WebGuard | None = None) -> web.Application:
        """The routes as an aiohttp application, behind a guard if there is one."""
        app = web.Application(middlewares=() if guard is None else (guard.middleware,))
        if guard is not None:
            app.on_response_prepare.append(guard.add_headers)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/probe", self.probe)
        app.router.add_get("/-/healthy", self.healthy)
        app.router.add_get("/-/ready", self.ready)
        app.router.add_get("/debug/collectors", self.debug)
        app.router.add_get("/", self.index)
        app.router.add_post(RELOAD_PATH, self.reload)
        app.router.add_post(ALERTS_PATH, self.misdirected)
        app.router.add_route("*", "/{path:.*}", self.elsewhere)
        return app

    async def metrics(self, request: web.Request) -> web.Response:
        """The snapshot in the form that the scraper prefers, or the families that it names."""
        return await self._serve(request, scrape_of(request))

    async def probe(self, request: web.Request) -> web.Response:
        """The same for a configured deployment.

        The target is a name, so a request cannot make this process connect to an address.
        """
        targets = request.query.getall("target", [])
        if len(targets) != 1 or DEPLOYMENT_NAME.fullmatch(targets[0]) is None:
            text = "expected ?target=NAME, once, with the name of a configured deployment (never an address)\n"
            self._gate.refuse(Refusal.MALFORMED)
            return web.Response(text=text, status=HTTPStatus.BAD_REQUEST)
        return await self._serve(request, scrape_of(request, targets[0]))

    async def _serve(self, request: web.Request, scrape: Scrape) -> web.Response:
        """One scrape within the limits."""
        try:
            with self._gate.passing(self._settings.max_scrapes, request.remote or ""):
                response = await self._page(request, scrape)
                return await self._gate.deliver(request, response, self._settings.slow_reader_seconds)
        except RefusedError:
            text = f"{self._settings.max_scrapes} scrapes, or half as many from one address, are already in progress\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "1"})

    async def _page(self, request: web.Request, scrape: Scrape) -> web.Response:
        """The answer to one scrape."""
        snapshot = await self._shown.scrape(scrape)
        if snapshot is None:
            self._gate.refuse(Refusal.UNKNOWN_TARGET)
            return web.Response(text="no deployment of this name is configured\n", status=HTTPStatus.NOT_FOUND)
        form = choose(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        selection = selection_of(request)
        if selection:
            owners = self._shown.owners(scrape.deployment)
            unknown = selection.collectors - set(owners.values())
            if unknown:
                text = f"no such collector; there are: {', '.join(sorted(set(owners.values())))}\n"
                return web.Response(text=text, status=HTTPStatus.BAD_REQUEST)
            body = await _selected(snapshot, selection, owners, form)
        else:
            ready = snapshot.ready(form)
            body = await asyncio.to_thread(snapshot.body, form) if ready is None else ready
        return web.Response(body=body, headers=HEADERS[form])

    async def healthy(self, _request: web.Request) -> web.Response:
        """200: the event loop answers; 503 for a while after it was blocked for long."""
        problem = self._watchdog.problem
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        return web.Response(text=f"{problem or 'healthy'}\n", status=status)

    async def ready(self, _request: web.Request) -> web.Response:
        """200 once every collector has ended a collection; otherwise 503 with the names that have not."""
        pending = self._shown.pending()
        if pending:
            text = f"waiting for the first collection of: {', '.join(pending)}\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="ready\n")

    async def index(self, _request: web.Request) -> web.Response:
        """The landing page."""
        return web.Response(text=self._shown.describe(), content_type="text/html", charset="utf-8")

    async def debug(self, request: web.Request) -> web.Response:
        """The last results of every collector, as text, or as JSON on request."""
        records, now = self._shown.records(), self._shown.now_monotonic()
        if request.query.get("format") == "json" or JSON_TYPE in request.headers.get("Accept", ""):
            return web.Response(text=debug_page.as_json(records, now), content_type=JSON_TYPE)
        return web.Response(text=debug_page.as_text(records, now))

    async def reload(self, _request: web.Request) -> web.Response:
        """200 when the new configuration is in force, 500 with its faults when the previous one stays.

        503 when too many requests wait: the configuration is reloaded anyway.
        """
        try:
            faults = await self._shown.reload()
        except TooManyError:
            text, headers = "a reload is already in progress\n", {"Retry-After": "15"}
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
        if faults:
            text = "".join(f"{fault}\n" for fault in faults)
            return web.Response(text=text, status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return web.Response(text="reloaded\n")

    async def misdirected(self, _request: web.Request) -> web.Response:
        """421: alerts belong to the remediator. After a 4xx Alertmanager stops at once and logs it."""
        body = {
            "error": "this is controlcore-exporter, which only reads; send alerts to controlcore-remediator",
            "remediator": "controlcore-remediator",
            "port": REMEDIATOR_PORT,
            "path": ALERTS_PATH,
        }
        return web.json_response(body, status=HTTPStatus.MISDIRECTED_REQUEST)

    async def elsewhere(self, request: web.Request) -> web.Response:
        """405 for a known path with another method, otherwise 404 with the existing paths."""
        allowed = "POST" if request.path in POST_PATHS else "GET, HEAD"
        if request.path in PATHS or request.path in POST_PATHS:
            text = f"{request.method} is not allowed here; allowed: {allowed}\n"
            return web.Response(text=text, status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": allowed})
        lines = "".join(f"  {path:<18} {meaning}\n" for path, meaning in PATHS.items())
        return web.Response(text=f"not found; this exporter serves:\n{lines}", status=HTTPStatus.NOT_FOUND)


def scrape_of(request: web.Request, deployment: str = "") -> Scrape:
    """The properties of a request; an invalid or negative timeout is ignored."""
    try:
        timeout = float(request.headers.get(TIMEOUT_HEADER, ""))
    except ValueError:
        timeout = 0.0
    scraper = f"{request.remote} {request.headers.get('User-Agent', '')} {request.path_qs}"
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    connection = peer[1] if peer else None
    return Scrape(scraper, deployment, timeout if 0 < timeout < float("inf") else None, connection)


def selection_of(request: web.Request) -> Selection:
    """The families that a request names; an empty selection means all."""
    if not request.query_string:
        return Selection()
    query = request.query
    return Selection(frozenset(query.getall("name[]", ())), frozenset(query.getall("collect[]", ())))


async def _selected(snapshot: Snapshot, selection: Selection, owners: Mapping[str, str], form: Form) -> bytes:
    """The chosen families in one form; large text is compressed off the loop."""
    page = select(snapshot.page, selection, owners)
    if sum(len(block.lines) for block in page.blocks) < THREAD_FROM_BYTES:
        return write(page, form)
    return await asyncio.to_thread(write, page, form)
