"""HTTP requests to servers on loopback: answers in JSON, and exporters' pages."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families

from tools.slowness import scaled

PAGE_TIMEOUT_SECONDS = 5.0


class HttpError(RuntimeError):
    """A server answered with an error status; the message carries the start of its body."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:1000]}")
        self.status = status
        self.body = body


def call(method: str, url: str, body: object = None, *, text: str | None = None, timeout_seconds: float = 10.0) -> Any:
    """The parsed answer (None when empty, the text itself when no JSON); HttpError from status 400 on.

    `body` is sent as JSON, `text` unchanged; OSError when nothing listens.
    """
    data = text.encode() if text is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data)
    request.add_header("Content-Type", "text/plain" if text is not None else "application/json")
    try:
        with urllib.request.urlopen(request, timeout=scaled(timeout_seconds)) as answer:
            return _parse(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            raise HttpError(error.code, error.read().decode(errors="replace")) from error


def is_answered(url: str, timeout_seconds: float = 1.0) -> bool:
    """Whether a GET succeeds."""
    try:
        call("GET", url, timeout_seconds=timeout_seconds)
    except (OSError, HttpError):
        return False
    return True


def read_url(url: str, *, headers: dict[str, str] | None = None) -> bytes:
    """The body of a GET on loopback; raises OSError."""
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=scaled(PAGE_TIMEOUT_SECONDS)) as answer:
        return cast("bytes", answer.read())


def read_page(url: str, only: Collection[str] = ()) -> dict[str, float]:
    """An exporter's page as `name{label="value",…}` → value, with labels in their order on the page.

    `only` are the names of the wanted samples; parsing a whole page each time costs a core's tenth.
    """
    samples: dict[str, float] = {}
    text = read_url(url).decode()
    if only:
        text = "".join(line for line in text.splitlines(keepends=True) if _name(line) in only)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def _name(line: str) -> str:
    """The name of a page's sample."""
    return line.partition(" ")[0].partition("{")[0]


def add_query(url: str, **parameters: str | float) -> str:
    """The address with an encoded query."""
    return f"{url}?{urllib.parse.urlencode(parameters)}"


def _parse(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
