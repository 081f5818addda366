"""`make demo ACT=1` as a newcomer runs it: no Go, nothing built, and the first act ends as it must."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.slowness import scaled

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_first_act_needs_neither_go_nor_a_built_program(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "--act", "1"],
        cwd=ROOT,
        env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CONTROLCORE_TOOLS_CACHE": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        timeout=scaled(240),
        check=False,
    )
    print(ended.stdout[-8000:], ended.stderr[-4000:])

    assert ended.returncode == 0
    assert "held (hold: dependency_down: database down)" in ended.stdout
    assert "acted 0, held 1, wrong 0" in ended.stdout
    assert ended.stderr == ""
    assert not (tmp_path / "none").exists()
