from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools.servers.ports import (
    FIRST_NETWORK,
    FIRST_PORT,
    LAST_NETWORK,
    LAST_PORT,
    NothingFreeError,
    free_network,
    free_port,
    free_ports,
)

ROOT = Path(__file__).parents[4]


def test_ports_are_different_and_can_be_bound():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        assert FIRST_PORT <= port <= LAST_PORT
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_taken_port_is_not_given():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NothingFreeError):
            free_port(port, port)


def test_port_is_given_once():
    port = free_port()
    with pytest.raises(NothingFreeError):
        free_port(port, port)


def test_network_is_kept_against_other_processes():
    mine = free_network()
    code = "from tools.servers.ports import _reserve; import sys; print(_reserve(f'network-{sys.argv[1]}'))"
    other = subprocess.run(
        [sys.executable, "-c", code, str(mine)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert FIRST_NETWORK <= mine <= LAST_NETWORK
    assert other.stdout.strip() == "False"
