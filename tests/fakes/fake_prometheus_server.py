"""A Prometheus and a health page that answer what a test says, each question by its text."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

FRESHNESS = re.compile(r'controlcore_scrape_collector_last_success_timestamp_seconds\{collector=~"([^"]*)"\}')
Answer = float | Callable[[], float] | None


class Watch:
    """One fake server. A query without an answer has no sample; every collector collected just now."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {"fault": 1.0, "well": 0.0}
        self.is_healthy: bool | Callable[[], bool] = False
        """What /health says: 200 or 503."""
        self.questions: list[str] = []
        self.may_answer = threading.Event()
        """Queries wait while it is not set."""
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"watch": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_ignored: object) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def ask(self, promql: str) -> list[dict[str, Any]]:
        """The samples of an instant query; the health probe is counted separately from the queries of decisions."""
        if promql == "vector(1)":
            return [{"metric": {}, "value": [time.time(), "1"]}]
        self.questions.append(promql)
        self.may_answer.wait()
        now = time.time()
        if found := FRESHNESS.match(promql):
            return [{"metric": {"collector": name}, "value": [now, str(now)]} for name in found[1].split("|")]
        answer = self.answers.get(promql)
        value = answer() if callable(answer) else answer
        return [] if value is None else [{"metric": {}, "value": [now, str(value)]}]

    def says_healthy(self) -> bool:
        """The current health page."""
        return self.is_healthy() if callable(self.is_healthy) else self.is_healthy


class _Handler(BaseHTTPRequestHandler):
    watch: Watch

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/health":
            self._answer(200 if self.watch.says_healthy() else 503, b"")
            return
        (promql,) = parse_qs(address.query)["query"]
        body = {"status": "success", "data": {"resultType": "vector", "result": self.watch.ask(promql)}}
        self._answer(200, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        pass
