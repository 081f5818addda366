"""The systemd units take from the programs what these never need."""

from __future__ import annotations

from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[3] / "docs/systemd").glob("*.service"))
WANTED = ("SystemCallFilter=@system-service", "CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_limits_system_calls_and_new_files(unit: Path) -> None:
    """L10: a filter of system calls, no capability, and files that other users cannot read."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    assert [wanted for wanted in WANTED if wanted not in lines] == []
    assert [line for line in lines if line.startswith("UMask=")] in (["UMask=0077"], ["UMask=0027"])


def test_there_is_a_unit_for_each_program() -> None:
    assert [unit.stem for unit in UNITS] == ["controlcore-exporter", "controlcore-remediator"]
