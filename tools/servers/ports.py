"""Picks loopback ports and pod networks that no other process of ours has picked."""

from __future__ import annotations

import random
import socket

# Below Linux's range for outgoing connections (32768-60999): the kernel does not hand these out by itself.
FIRST_PORT = 15_000
LAST_PORT = 31_999
FIRST_NETWORK = 64
LAST_NETWORK = 250

_RANDOM = random.SystemRandom()


class NothingFreeError(RuntimeError):
    """Every port or network of the range is taken."""


def free_port(first: int = FIRST_PORT, last: int = LAST_PORT) -> int:
    """A TCP port free on 127.0.0.1, kept for this process against other processes using this function."""
    for _ in range(1000):
        port = _RANDOM.randint(first, last)
        if _can_bind(port) and _reserve(f"port-{port}"):
            return port
    raise NothingFreeError(f"no free port between {first} and {last}")


def free_ports(count: int) -> tuple[int, ...]:
    """Several free ports, all different."""
    return tuple(free_port() for _ in range(count))


def free_network() -> int:
    """The second octet of a 127.X.0.0/16 network that no other cluster on this machine uses."""
    for octet in _RANDOM.sample(range(FIRST_NETWORK, LAST_NETWORK + 1), LAST_NETWORK + 1 - FIRST_NETWORK):
        if _reserve(f"network-{octet}"):
            return octet
    raise NothingFreeError(f"no free network between 127.{FIRST_NETWORK} and 127.{LAST_NETWORK}")


def _can_bind(port: int) -> bool:
    # Without SO_REUSEADDR: a port whose old connections linger in TIME_WAIT is not free for every server.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(name: str) -> bool:
    """Holds an abstract Unix socket name for the life of this process: no file is left, even after SIGKILL."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0controlcore-{name}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True
