"""Notifications of systemd on a real socket; the unit files use options that the programs accept."""

from __future__ import annotations

import configparser
import os
import socket
from pathlib import Path

import pytest

from chassis.process.lifecycle import SystemdNotifier
from tools.slowness import scaled

UNITS = Path(__file__).parents[4] / "docs" / "systemd"


def test_every_state_is_one_datagram(listening: socket.socket) -> None:
    notifier = SystemdNotifier(listening.getsockname())
    for tell in (notifier.ready, notifier.alive, notifier.stopping):
        tell()
    heard = [listening.recv(200).decode() for _ in range(3)]
    assert heard == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_abstract_address_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        name = f"controlcore-test-{os.getpid()}"
        found.bind(f"\0{name}")
        found.settimeout(scaled(5))
        SystemdNotifier(f"@{name}").ready()
        assert found.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_nobody_who_listens_is_nobodys_trouble(address: str) -> None:
    SystemdNotifier(address).ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
    ],
)
def test_signs_of_life_are_wanted_of_this_process_only(environment: dict[str, str], seconds: float | None) -> None:
    assert SystemdNotifier.from_environment(environment).watchdog_seconds == seconds


@pytest.mark.parametrize("program", ["controlcore-exporter", "controlcore-remediator"])
def test_unit_starts_the_program_waits_for_it_and_watches_it(program: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)  # systemd accepts a list of lines
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((UNITS / f"{program}.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"]) > 0
    path, *arguments = service["ExecStart"].split()
    assert path.endswith(f"/{program}")
    assert arguments[-1] == f"--config.file=/etc/{program}/config.yaml"
    assert arguments[:-1] == (["serve"] if program == "controlcore-remediator" else [])
