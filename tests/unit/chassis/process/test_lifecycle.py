"""Signals are a process' own, so each test runs one; its printed lines order everything."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
PROGRAM = """
import asyncio
from chassis.process.lifecycle import Lifecycle, run

def say(text):
    print(text, flush=True)

async def body(life: Lifecycle) -> None:
    life.stack.callback(say, "closed first opened")
    life.stack.callback(say, "closed last opened")
    life.on_reload(lambda: say("reloaded"))
    say("ready")
    await life.stop.wait()
    say("stopping")
    {ending}

run(body)
say("ended")
"""


@contextmanager
def running(ending: str = "pass") -> Iterator[subprocess.Popen[str]]:
    program = PROGRAM.format(ending=ending)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_closes_in_reverse_order_and_ends_well(number: signal.Signals) -> None:
    with running() as process:
        assert line(process) == "ready"
        process.send_signal(number)
        lines = [line(process) for _ in range(4)]
        assert lines == ["stopping", "closed last opened", "closed first opened", "ended"]
        assert process.wait() == 0


def test_hangup_runs_the_reload_and_goes_on() -> None:
    with running() as process:
        assert line(process) == "ready"
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert line(process) == "reloaded"
        process.send_signal(signal.SIGTERM)
        assert line(process) == "stopping"


def test_second_signal_ends_a_program_that_hangs_while_stopping() -> None:
    with running("await asyncio.Event().wait()") as process:
        assert line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert line(process) == "stopping"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130


def test_error_of_the_body_still_closes_everything() -> None:
    with running("raise SystemExit(3)") as process:
        assert line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert [line(process) for _ in range(3)] == ["stopping", "closed last opened", "closed first opened"]
        assert process.wait() == 3


def test_crash_of_native_code_leaves_the_stacks_in_the_log() -> None:
    """Without them a remediator that ended by SIGSEGV said nothing at all."""
    program = PROGRAM.format(ending="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").replace(
        "await life.stop.wait()", "life.request_stop()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in done.stderr
    assert "in body" in done.stderr


def test_program_whose_standard_error_is_closed_starts() -> None:
    """`2>&-` in a unit or a script: there is nowhere to write the stacks, and nothing else is wrong."""
    program = PROGRAM.format(ending="pass").replace("await life.stop.wait()", "life.request_stop()")
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ended")
