"""A webhook that keeps what Alertmanager sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@contextmanager
def receive(seen: list[dict[str, Any]]) -> Iterator[str]:
    """Appends the body of each notification; yields the webhook's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def names_of(seen: list[dict[str, Any]]) -> list[str]:
    """The alert of each entry, in the order of their arrival."""
    return [alert["labels"]["alertname"] for body in seen for alert in body["alerts"]]
