"""Both programs notify systemd; the socket at the other end is the test's."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.fakes.running_exporter import running_exporter
from tests.fakes.running_remediator import RunningRemediator
from tools.slowness import scaled

pytestmark = pytest.mark.timeout(60)


def hear(listening: socket.socket, *wanted: str) -> None:
    """Returns when these states came in this order, with signs of life in between."""
    for state in wanted:
        while (heard := listening.recv(200).decode().split("\n")[0]) != state:
            assert heard == "WATCHDOG=1", heard


def is_silent(listening: socket.socket) -> bool:
    """Whether nothing comes any more, after what was on its way."""
    try:
        while listening.recv(200):
            pass
    except TimeoutError:
        return True
    return False


def variables(listening: socket.socket) -> dict[str, str]:
    return {"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "400000"}


def test_exporter_tells_its_start_its_life_and_its_end(listening: socket.socket, tmp_path: Path) -> None:
    with running_exporter(tmp_path, variables=variables(listening)) as exporter:
        hear(listening, "READY=1", "WATCHDOG=1", "WATCHDOG=1")
        assert exporter.end()[0] == 0
        hear(listening, "STOPPING=1")


def test_frozen_program_gives_no_sign_of_life(listening: socket.socket, tmp_path: Path) -> None:
    """The watchdog's purpose: the process exists and does nothing."""
    with running_exporter(tmp_path, variables=variables(listening)) as exporter:
        hear(listening, "READY=1", "WATCHDOG=1")
        exporter.process.send_signal(signal.SIGSTOP)
        listening.settimeout(1.5)
        assert is_silent(listening)
        exporter.process.send_signal(signal.SIGCONT)
        listening.settimeout(scaled(10))
        hear(listening, "WATCHDOG=1")
        assert exporter.end()[0] == 0


def test_remediator_tells_its_start_and_its_end(listening: socket.socket) -> None:
    remediator = RunningRemediator()
    remediator.environment = variables(listening)
    with remediator:
        hear(listening, "READY=1", "WATCHDOG=1", "WATCHDOG=1")
        os.kill(remediator.process.pid, signal.SIGTERM)
        hear(listening, "STOPPING=1")
