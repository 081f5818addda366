"""Blocks a loop on purpose, in a separate process: blockbuster watches the test's own loop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.process.loop_watchdog import LoopWatchdog

ROOT = Path(__file__).parents[4]
PROGRAM = """
import asyncio, re, time
from chassis.process import loop_watchdog
from chassis.clock import SystemClock
from chassis.log import configure
from chassis.process.loop_watchdog import LoopWatchdog

configure(program="test", level="info", form="json", clock=SystemClock())
loop_watchdog.BEAT_SECONDS, loop_watchdog.DUMP_SECONDS = 0.05, 0.3

def hang_here():
    {hang}

async def main():
    async with LoopWatchdog(stall_seconds=0.5, serious_seconds={serious}).watching() as watchdog:
        await asyncio.sleep(0.2)
        print("before", watchdog.stalls, watchdog.problem, flush=True)
        hang_here()
        while not watchdog.blocked_seconds:
            await asyncio.sleep(0.05)
        print("after", watchdog.stalls, watchdog.blocked_seconds >= 0.5, bool(watchdog.problem), flush=True)

asyncio.run(main())
print("ended", flush=True)
"""
SLEEPS = "time.sleep(1.5)"
HOLDS_THE_INTERPRETER = (
    "began = time.monotonic()\n    while time.monotonic() < began + 1.5: re.match('(a+)+$', 'a' * 21 + '!')"
)


def run(hang: str, serious: float = 0.5) -> tuple[list[str], list[dict[str, object]], str]:
    program = PROGRAM.format(hang=hang, serious=serious)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    lines = (done.stdout + done.stderr).splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in done.stdout.splitlines() if not line.startswith("{")], logged, done.stderr


@pytest.mark.parametrize("hang", [SLEEPS, HOLDS_THE_INTERPRETER], ids=["sleep", "expression"])
def test_blocked_loop_is_counted_once_and_told_with_its_stack(hang: str) -> None:
    """R1: whatever blocks the loop the next time, the log says where. A busy machine may block it more often."""
    printed, logged, stderr = run(hang)
    assert printed[0].split()[0] == "before"
    after, stalls, *rest = printed[1].split()
    assert (after, rest, printed[2:]) == ("after", ["True", "True"], ["ended"])
    assert {line["event"] for line in logged} == {"event_loop.blocked", "event_loop.resumed"}
    stacks = [str(line["stack"]) for line in logged if line["event"] == "event_loop.blocked"]
    assert len([stack for stack in stacks if "hang_here" in stack]) == 1
    counts = [line["stalls"] for line in logged if line["event"] == "event_loop.resumed"]
    assert counts == list(range(1, len(counts) + 1))
    assert int(stalls) in counts
    assert len(counts) < 10  # of the forty beats of a busy machine not each is a block
    assert "hang_here" in stderr  # faulthandler's own, which needs no thread of Python


def test_short_block_is_counted_and_leaves_the_program_healthy() -> None:
    """A busy machine may block the program a second time."""
    printed, _, _ = run(SLEEPS, serious=60.0)
    after, stalls, *rest = printed[1].split()
    assert (after, rest) == ("after", ["True", "False"])
    assert int(stalls) >= 1


def test_watchdog_that_saw_nothing_has_no_problem() -> None:
    watchdog = LoopWatchdog()
    assert (watchdog.problem, watchdog.stalls, watchdog.blocked_seconds) == ("", 0, 0.0)


def test_thread_looks_again_when_the_loop_could_be_blocked_and_not_before() -> None:
    """It woke 240 times a minute for a loop that was well."""
    watchdog = LoopWatchdog(stall_seconds=3600.0)
    assert watchdog._seconds_to_look() == pytest.approx(3600.0, abs=60.0)
    watchdog._beat_at -= 7200.0
    assert 0 < watchdog._seconds_to_look() < 1
