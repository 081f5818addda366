"""The errors of both programs. Driver exceptions never leave their adapter.

ControlCoreError
├── ConfigError            every fault of a configuration, each with its path
├── BackendError           a call to something outside failed; carries a Reason
│   ├── TransientError     may succeed if repeated (refused, timeout, overloaded)
│   └── PermanentError     fails until someone intervenes (auth, permission, missing)
│       └── ConflictError  the object changed since it was read: gather facts again, never re-send
└── InvariantBroken        an invariant does not hold: stop instead of acting
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

Redact = Callable[[str], str]
"""Removes what looks like a secret from a foreign text."""
MAX_FOREIGN = 16 * 1024
"""How much of a foreign text is read to quote a part of it."""


def quote_foreign(text: str, redact: Redact, length: int) -> str:
    """The part of a foreign text that an error may quote.

    It is redacted before it is cut: half a secret would not be recognised.
    """
    return redact(text[:MAX_FOREIGN])[:length]


class Reason(StrEnum):
    """Why a backend call failed: a closed set, safe as a metric label."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TIMEOUT = "timeout"
    TLS = "tls"
    AUTH = "auth"
    PERMISSION = "permission"
    EXHAUSTED = "exhausted"
    QUOTA = "quota"
    """The limit of our own account is used up; the server has room for others."""
    STARTING = "starting"
    CLOSED = "closed"
    PROTOCOL = "protocol"
    MALFORMED = "malformed"
    PARTIAL = "partial"
    """The server answered that part of the data is missing."""
    MISSING = "missing"
    CONFLICT = "conflict"
    OVERLOADED = "overloaded"
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    SUSPENDED = "suspended"
    INTERNAL = "internal"


CONNECTION_REASONS = (
    Reason.REFUSED,
    Reason.UNREACHABLE,
    Reason.DNS,
    Reason.TIMEOUT,
    Reason.TLS,
    Reason.AUTH,
    Reason.PERMISSION,
    Reason.EXHAUSTED,
    Reason.QUOTA,
    Reason.STARTING,
    Reason.CLOSED,
    Reason.PROTOCOL,
    Reason.MISSING,
    Reason.INTERNAL,
)
"""Every reason why connecting to PostgreSQL or Redis fails; a failure counter starts at 0 for each."""


OUR_ACCESS = frozenset({Reason.AUTH, Reason.PERMISSION, Reason.QUOTA, Reason.MISSING, Reason.TLS})
"""Connecting failed because of our own configuration: credentials, rights, our account's limit, the database's name,
trusted CAs. Whether the store serves others is unknown.
"""


class ControlCoreError(Exception):
    """The base of all errors that this project raises."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a configuration, and where."""

    path: str
    message: str

    def __str__(self) -> str:
        """The fault as one line: `path: message`."""
        return f"{self.path}: {self.message}"


class ConfigError(ControlCoreError):
    """A configuration has faults; `faults` holds all of them."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def unknown_name(name: str, allowed: Iterable[str]) -> str:
    """The message for an unknown key."""
    return f"unknown setting; {_hint(name, tuple(allowed))}"


def not_allowed(value: str, allowed: Iterable[str]) -> str:
    """The message for a value outside a closed set."""
    return f"{value!r} is not allowed; {_hint(value, tuple(allowed))}"


def did_you_mean(name: str, allowed: Iterable[str], *, before: str = "", behind: str = "") -> str:
    """The "did you mean" for a mistyped name, between two texts; empty if no name is similar."""
    close = difflib.get_close_matches(name, tuple(allowed), n=1)
    return f"{before}did you mean {close[0]}?{behind}" if close else ""


def _hint(name: str, allowed: tuple[str, ...]) -> str:
    """The probable name, and all allowed names."""
    return f"{did_you_mean(name, allowed, behind=' ')}allowed here: {', '.join(sorted(allowed)) or 'nothing'}"


class BackendError(ControlCoreError):
    """A call to something outside failed. `reason` is for metrics, the message for the log.

    `code` is the server's own code: PostgreSQL's SQLSTATE, or the first word of Redis' error. It is empty when the
    request itself got no answer, for example because the login failed or the deadline passed.
    """

    def __init__(self, reason: Reason, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


class TransientError(BackendError):
    """The same call may succeed later; reads may be retried, writes must be planned again."""


class PermanentError(BackendError):
    """The same call fails until a person intervenes."""


class ConflictError(PermanentError):
    """The object is not the one that was read (409, or 422 on metadata.uid)."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONFLICT, message)


class InvariantBroken(ControlCoreError):  # noqa: N818 - reads as the statement it is
    """An invariant of this program does not hold; the caller stops."""
