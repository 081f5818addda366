from __future__ import annotations

import errno
import socket
import ssl

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.net.sockets import socket_error

SEVERAL = (
    "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno {}] Connect call failed ('127.0.0.1', 1)"
)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), TransientError, Reason.REFUSED),
        (FileNotFoundError(errno.ENOENT, "no such socket"), TransientError, Reason.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), TransientError, Reason.CLOSED),
        (ConnectionResetError("without a number"), TransientError, Reason.CLOSED),
        (BrokenPipeError(errno.EPIPE, "pipe"), TransientError, Reason.CLOSED),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), TransientError, Reason.TIMEOUT),
        (TimeoutError(), TransientError, Reason.TIMEOUT),
        (socket.gaierror(-2, "unknown name"), TransientError, Reason.DNS),
        (ssl.SSLError(1, "bad record"), PermanentError, Reason.TLS),
        (PermissionError(errno.EACCES, "denied"), PermanentError, Reason.PERMISSION),
        (OSError(errno.EHOSTUNREACH, "no route"), TransientError, Reason.UNREACHABLE),
        (OSError("something"), TransientError, Reason.UNREACHABLE),
        (OSError(SEVERAL.format(111)), TransientError, Reason.REFUSED),
        (OSError(SEVERAL.format(113)), TransientError, Reason.UNREACHABLE),
    ],
)
def test_socket_failure_has_its_reason(error: OSError, kind: type[BackendError], reason: Reason) -> None:
    found = socket_error(error)
    assert (type(found), found.reason) == (kind, reason)
    assert str(found)
