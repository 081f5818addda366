"""Freed memory returns to the system. Each case is a separate process, because the limits cannot be reset."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

CHURN = """
import sys
from chassis.process.heap import limit_heap

def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096

if sys.argv[1] == "limited":
    assert limit_heap()
# One large block is freed first: by itself glibc takes blocks of its size from the heap from then on.
large = b"x" * (10**6 + len(sys.argv))
del large
before = resident()
large, small = [], []
for number in range(200):
    large.append(b"x" * (200_000 + number))
    small.append(b"x" * (8_000 + number))  # together larger than any hole that the start left in the heap
del large
print(resident() - before)
"""


def resident_growth(case: str) -> int:
    """Bytes that stay resident after 40 MB were taken and given back between small blocks that are kept."""
    command = [sys.executable, "-c", CHURN, case]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_large_blocks_between_small_ones_go_back_to_the_system() -> None:
    unlimited, limited = resident_growth("unlimited"), resident_growth("limited")
    assert unlimited > 20_000_000, "the allocator alone would have given it back: the limits do nothing here"
    assert limited < unlimited / 10


@pytest.mark.parametrize("package", ["exporter", "remediations"])
def test_both_programs_begin_with_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    program = importlib.import_module(f"{package}.__main__")
    monkeypatch.setattr(program, "limit_heap", lambda: calls.append("limited"))
    with pytest.raises(SystemExit):
        program.main(["--version"])
    assert calls == ["limited"]
