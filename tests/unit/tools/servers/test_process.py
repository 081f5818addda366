from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.waiting import wait_for
from tools.servers import orphan_cleanup
from tools.servers.process import Command, Process, ServerError, make_folder, remove_folder
from tools.slowness import scaled

FAMILY = ("sh", "-c", "sleep 600 & sh -c 'sleep 600; true' & wait")


@pytest.fixture
def family(tmp_path):
    """A shell with two children and a grandchild."""
    process = Process(Command(FAMILY, grace_seconds=2.0), tmp_path / "log")
    process.wait_until(lambda: len(process.family()) == 4, 5.0)
    yield process
    process.stop()


def test_freeze_stops_every_descendant_and_thaw_continues(family):
    family.freeze()
    wait_for(lambda: {_state(pid) for pid in family.family()} == {"T"})
    assert len(family.family()) == 4
    family.thaw()
    wait_for(lambda: {_state(pid) for pid in family.family()} == {"S"})


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_end_takes_descendants_even_frozen_ones(family, verb):
    pids = family.family()
    family.freeze()
    getattr(family, verb)()
    assert not family.is_running
    wait_for(lambda: all(_state(pid) in ("", "Z") for pid in pids))


def test_program_deaf_to_its_stop_signal_is_killed(tmp_path):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    process = Process(Command((sys.executable, "-c", code), grace_seconds=0.2), tmp_path / "log")
    process.wait_until(lambda: "deaf" in process.log_tail(), 5.0)
    process.stop()
    assert process.exit_status == -9


def test_program_that_ends_before_it_is_ready_shows_its_log(tmp_path):
    process = Process(Command(("sh", "-c", "echo no such setting; exit 3")), tmp_path / "log")
    with pytest.raises(ServerError, match=r"ended with 3\nno such setting"):
        process.wait_until(lambda: False, 5.0)
    process.stop()


def test_program_that_is_never_ready_is_given_up(family):
    with pytest.raises(ServerError, match=f"not ready after {scaled(0.1):g} s"):
        family.wait_until(lambda: False, 0.1)


def test_stop_twice_is_fine(family):
    family.stop()
    family.stop()
    assert not family.is_running


def test_folder_is_removed_with_its_files():
    folder = make_folder("test")
    (folder / "file").write_text("x")
    remove_folder(folder)
    assert not folder.exists()


def test_watcher_spares_what_was_released(tmp_path):
    """The watcher of a parent that ended in order touches neither a released process nor a stranger of that number."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        start = orphan_cleanup.process_start(stranger.pid)
        notes = (
            f"+process {stranger.pid} {start} 15\n-process {stranger.pid}\n"
            f"+process {stranger.pid} {start + 1} 15\n"
            f"+folder {tmp_path}\n-folder {tmp_path}\n"
        )
        subprocess.run([sys.executable, "-I", "-S", orphan_cleanup.__file__], input=notes, text=True, check=True)
        assert stranger.poll() is None
        assert tmp_path.is_dir()

        notes = f"+process {stranger.pid} {start} 15\n+folder {tmp_path}\n"
        subprocess.run([sys.executable, "-I", "-S", orphan_cleanup.__file__], input=notes, text=True, check=True)
        assert stranger.wait() == -15
        assert not tmp_path.exists()


def _state(pid: int) -> str:
    """The state letter of proc(5); empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
