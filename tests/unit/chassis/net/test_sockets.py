from __future__ import annotations

import errno
import socket
import ssl

import pytest

from chassis.errors import BackendError, PermanentError, Reason, TransientError
from chassis.net.sockets import ListenError, listening_sockets, socket_error

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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError(SEVERAL.format(errno.ECONNREFUSED)), "connection refused"),
        (OSError(SEVERAL.format(errno.EHOSTUNREACH)), SEVERAL.format(errno.EHOSTUNREACH)),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_socket_failure_is_told_in_words(error: OSError, words: str) -> None:
    assert str(socket_error(error)) == words


async def test_taken_port_is_told_with_its_setting_and_how_to_see_who_has_it() -> None:
    (opened,) = await listening_sockets("127.0.0.1", 0)
    port = opened.getsockname()[1]
    with opened, pytest.raises(ListenError) as caught:
        await listening_sockets("127.0.0.1", port)
    assert str(caught.value) == (
        f"server.port: cannot listen on 127.0.0.1:{port}: another process has the port; "
        f"find it with: ss -ltnp 'sport = :{port}'"
    )


@pytest.mark.parametrize(
    ("host", "error", "words"),
    [
        ("::", PermissionError(errno.EACCES, "denied"), "server.port: cannot listen on [::]:80: this user"),
        ("10.9.9.9", OSError(errno.EADDRNOTAVAIL, "no"), "server.host: cannot listen on 10.9.9.9:80: this host"),
        ("nope", socket.gaierror(-2, "Name or service not known"), "server.host: cannot listen on nope:80: Name or"),
    ],
)
async def test_address_that_cannot_be_listened_on_says_why(
    monkeypatch: pytest.MonkeyPatch, host: str, error: OSError, words: str
) -> None:
    async def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("chassis.net.sockets._listening", refuse)
    with pytest.raises(ListenError) as caught:
        await listening_sockets(host, 80)
    assert str(caught.value).startswith(words)
