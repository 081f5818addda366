"""Queries a program of the stand-in over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tools.slowness import scaled


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `body` is parsed JSON where it is JSON, else text."""

    status: int
    body: Any


def ask(url: str, body: object = None, token: str | None = None, timeout_seconds: float | None = None) -> Answer:
    """GET the URL, or POST the body as JSON; raises TimeoutError or URLError when nothing answers.

    Without a timeout of the caller's own it waits long enough for a busy machine.
    """
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())  # noqa: S310
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds or scaled(2.0)) as answer:  # noqa: S310
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, content = error.code, error.read()
    try:
        return Answer(status, json.loads(content))
    except ValueError:
        return Answer(status, content.decode())
