"""Serves the current snapshot and the program's own health. No handler asks a backend or waits for one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from exporter.negotiation import Form, choose
from exporter.snapshot import Snapshot

REMEDIATOR_PORT = 9878
PATHS: dict[str, str] = {
    "/": "what this exporter watches and how each collector fares",
    "/metrics": "the metrics, as text 0.0.4 or OpenMetrics 1.0",
    "/-/healthy": "200 while the process serves",
    "/-/ready": "200 once every collector has ended its first collection, well or badly",
}
ALERTS_PATH = "/api/v1/alerts"


def _headers(form: Form) -> CIMultiDictProxy[str]:
    """The headers of one form of the page."""
    named = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
    return CIMultiDictProxy(CIMultiDict(named | ({"Content-Encoding": "gzip"} if form.is_gzip else {})))


HEADERS = {form: _headers(form) for form in (Form(om, gz) for om in (False, True) for gz in (False, True))}


class Site:
    """The exporter's pages over three questions: what is published, who is not ready, what the landing page says."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], pending: Callable[[], tuple[str, ...]], landing: Callable[[], str]
    ) -> None:
        self._snapshot = snapshot
        self._pending = pending
        self._landing = landing

    def application(self) -> web.Application:
        """The routes as an aiohttp application."""
        app = web.Application()
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/-/healthy", self.healthy)
        app.router.add_get("/-/ready", self.ready)
        app.router.add_get("/", self.index)
        app.router.add_post(ALERTS_PATH, self.misdirected)
        app.router.add_route("*", "/{path:.*}", self.elsewhere)
        return app

    async def metrics(self, request: web.Request) -> web.Response:
        """The snapshot in the form that the scraper prefers."""
        form = choose(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        return web.Response(body=self._snapshot().body(form), headers=HEADERS[form])

    async def healthy(self, _request: web.Request) -> web.Response:
        """200: the event loop answers."""
        return web.Response(text="healthy\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """200 once every collector has ended a collection; otherwise 503 with the names that have not."""
        pending = self._pending()
        if pending:
            text = f"waiting for the first collection of: {', '.join(pending)}\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="ready\n")

    async def index(self, _request: web.Request) -> web.Response:
        """The landing page."""
        return web.Response(text=self._landing(), content_type="text/html", charset="utf-8")

    async def misdirected(self, _request: web.Request) -> web.Response:
        """421: alerts belong to the remediator. A 4xx makes Alertmanager give up at once and say so in its log."""
        body = {
            "error": "this is controlcore-exporter, which only reads; alerts are taken by controlcore-remediator",
            "remediator": "controlcore-remediator",
            "port": REMEDIATOR_PORT,
            "path": ALERTS_PATH,
        }
        return web.json_response(body, status=HTTPStatus.MISDIRECTED_REQUEST)

    async def elsewhere(self, request: web.Request) -> web.Response:
        """405 for a known path with another method, otherwise 404 with the paths that there are."""
        allowed = "POST" if request.path == ALERTS_PATH else "GET, HEAD"
        if request.path in PATHS or request.path == ALERTS_PATH:
            text = f"{request.method} is not possible here; allowed: {allowed}\n"
            return web.Response(text=text, status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": allowed})
        lines = "".join(f"  {path:<12} {meaning}\n" for path, meaning in PATHS.items())
        return web.Response(text=f"there is nothing here; this exporter serves:\n{lines}", status=HTTPStatus.NOT_FOUND)


__all__ = ["ALERTS_PATH", "PATHS", "REMEDIATOR_PORT", "Site"]
