"""Tests whether an address accepts connections, and maps socket failures to reasons."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl

from chassis.errors import BackendError, Fault, PermanentError, Reason, TransientError

ERRNO_IN_TEXT = re.compile(r"\[Errno (\d+)\]")
BACKLOG = 512
"""Most connections that wait to be accepted; the kernel's own limit (net.core.somaxconn) may be lower."""
REASONS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ENOENT: Reason.REFUSED,
    errno.ECONNRESET: Reason.CLOSED,
    errno.EPIPE: Reason.CLOSED,
    errno.ECONNABORTED: Reason.CLOSED,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EACCES: Reason.PERMISSION,
}
"""ENOENT and EACCES occur at Unix sockets: no process listens there, or we have no right to connect."""


def socket_reason(error: OSError) -> Reason:
    """Why connecting, sending or receiving failed; `unreachable` if the exact reason is unknown."""
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, socket.gaierror):
        return Reason.DNS
    if isinstance(error, ssl.SSLError):
        return Reason.TLS
    number = error.errno if error.errno is not None else _common_errno(str(error))
    if number is None and isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return Reason.CLOSED
    return REASONS.get(number or 0, Reason.UNREACHABLE)


def socket_error(error: OSError) -> BackendError:
    """The BackendError for a socket's failure. TLS and permission failures are permanent; others may be temporary."""
    reason = socket_reason(error)
    kind = PermanentError if reason in {Reason.TLS, Reason.PERMISSION} else TransientError
    return kind(reason, socket_text(error))


def socket_text(error: OSError) -> str:
    """What failed, in the words of the operating system; callers name the address."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    number = None if isinstance(error, ssl.SSLError) else error.errno or _common_errno(str(error))
    return os.strerror(number).lower() if number else str(error) or type(error).__name__


def _common_errno(text: str) -> int | None:
    """The errno of an asyncio error that joins several (one for each address of a name), if all agree."""
    numbers = {int(number) for number in ERRNO_IN_TEXT.findall(text)}
    return numbers.pop() if len(numbers) == 1 else None


async def can_connect(host: str, port: int, timeout_seconds: float) -> bool:
    """Whether the kernel at this address accepts a TCP connection; it also does for a hanging process."""
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.transport.abort()
    return True


class ListenError(OSError):
    """We cannot listen at an address. `fault` says why and what to do, with the setting to change."""

    def __init__(self, setting: str, message: str) -> None:
        self.fault = Fault(setting, message)
        super().__init__(str(self.fault))


def _explain(host: str, port: int, error: OSError) -> ListenError:
    """The failure in words; for a port in use, how to find its process."""
    where = f"cannot listen on {f'[{host}]' if ':' in host else host}:{port}"
    if error.errno == errno.EADDRINUSE:
        which = f"find it with: ss -ltnp 'sport = :{port}'"
        return ListenError("server.port", f"{where}: another process has the port; {which}")
    if error.errno == errno.EACCES:
        return ListenError("server.port", f"{where}: this user may not use the port; choose 1024 or above")
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(
            "server.host", f"{where}: this host does not have the address; list its addresses with: ip address"
        )
    return ListenError("server.host", f"{where}: {error.strerror or error}")


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for the address, all on one port; port 0 picks a free one. Raises ListenError if one fails.

    "" and "::" mean every address of IPv4 and IPv6, as in Go, or of IPv4 alone where the system has no IPv6.
    """
    try:
        return await _listening(host, port)
    except OSError as error:
        raise _explain(host, port, error) from error


async def _listening(host: str, port: int) -> list[socket.socket]:
    """The same; raises the system's error."""
    loop = asyncio.get_running_loop()
    if host in {"", "::"}:
        return [_listening_everywhere(port)]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    opened: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            chosen = opened[0].getsockname()[1] if opened else port
            opened.append(_prepared(socket.create_server((address[0], chosen), family=family, backlog=BACKLOG)))
    except OSError:
        for sock in opened:
            sock.close()
        raise
    return opened


def _listening_everywhere(port: int) -> socket.socket:
    """A socket for both families, or for IPv4 without IPv6 support."""
    if socket.has_dualstack_ipv6():
        try:
            everywhere = ("::", port)
            return _prepared(
                socket.create_server(everywhere, family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
            )
        except OSError as error:
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise
    return _prepared(socket.create_server(("", port), backlog=BACKLOG))


def _prepared(sock: socket.socket) -> socket.socket:
    """The socket, for an event loop."""
    sock.setblocking(False)
    return sock
