"""`make demo` as a stranger runs it: four acts, status 0, nothing left running."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tools.slowness import scaled

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).resolve().parents[2]
MARK = "CONTROLCORE_DEMO_TEST"
ACTS = 4


def processes_with(mark: str) -> list[str]:
    """Command lines of live processes with the mark in their environment, without this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.timeout(620)
def test_demo_plays_four_acts_and_leaves_nothing_behind() -> None:
    folder = Path(tempfile.mkdtemp(prefix="controlcore-demo-test-"))
    # PostgreSQL runs under its own account, which must be able to enter.
    folder.chmod(0o711)
    name, value = MARK, folder.name
    ended = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={**os.environ, name: value, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=scaled(600),
        check=False,
    )
    print(ended.stdout[-12000:], ended.stderr[-4000:])

    assert ended.returncode == 0
    assert "acted 3, held 1, wrong 0" in ended.stdout
    assert ended.stdout.count("as it must be") == ACTS
    assert "Traceback" not in ended.stderr
    assert processes_with(f"{name}={value}") == []
    assert list(folder.iterdir()) == []
    folder.rmdir()
