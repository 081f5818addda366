"""One HTTP request and its answer as values; separate from the client, so that collectors do not import aiohttp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chassis.documents import DocumentError, parse_json
from chassis.errors import BackendError, PermanentError, Reason, TransientError

MAX_BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, body, and the seconds from sending to the last byte."""

    status: int
    body: bytes
    seconds: float
    date: str = ""
    """The header Date; empty without one."""

    def json(self) -> Any:
        """The body parsed as JSON; raises PermanentError(malformed) otherwise.

        NaN, Infinity, numbers that do not fit into a float, and too deep nesting are malformed too.
        """
        try:
            return parse_json(self.body)
        except DocumentError as error:
            raise PermanentError(Reason.MALFORMED, f"the body: {error}") from error

    def require_ok(self) -> Response:
        """Itself when 2xx; otherwise raises with the reason of the status class."""
        if 200 <= self.status < 300:  # noqa: PLR2004 - the 2xx class
            return self
        raise status_error(self.status)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its URL, its content, and its deadline."""

    url: str
    timeout_seconds: float
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Hidden in the representation, because they may hold keys."""
    json: Any = field(default=None, repr=False)
    params: Mapping[str, str] | None = None
    max_bytes: int = MAX_BODY_BYTES
    """Longest body that is read."""
    limit_setting: str = ""
    """The setting behind `max_bytes`, which the error names; empty without one."""


def status_error(status: int) -> BackendError:
    """The error for an HTTP status other than 2xx."""
    message = f"HTTP status {status}"
    if status in {401, 403}:
        return PermanentError(Reason.AUTH if status == 401 else Reason.PERMISSION, message)  # noqa: PLR2004
    if status == 404:  # noqa: PLR2004
        return PermanentError(Reason.MISSING, message)
    if status == 429:  # noqa: PLR2004
        return TransientError(Reason.OVERLOADED, message)
    if status >= 500:  # noqa: PLR2004
        return TransientError(Reason.HTTP_5XX, message)
    return PermanentError(Reason.HTTP_4XX if status >= 400 else Reason.HTTP_3XX, message)  # noqa: PLR2004
