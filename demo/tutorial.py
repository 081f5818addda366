"""The stage of docs/tutorial.md: every policy in mode dry_run, and a folder with what the reader's commands need."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from queue import SimpleQueue

from demo.files import ROOT
from demo.stage import API, Stage
from demo.timeline import headline
from tools.install.compiler import ToolError

FOLDER = ROOT / "build" / "tutorial"
MARK = ".tutorial"
"""A file that marks the folder as a stage's, so that it may be deleted."""
PROGRAMS = {"controlcore-exporter": "exporter", "controlcore-remediator": "remediations"}
ASKED = "the stage makes the API hang now; its own terminal says when that is done"
"""What `hang-api` prints."""


def clear_folder(folder: Path) -> None:
    """Creates the folder, or empties an earlier stage's; raises ToolError if it contains anything else."""
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise ToolError(
            f"{folder} is not empty and not the folder of an earlier tutorial: remove it, or name another folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()


def write_folder(stage: Stage, folder: Path) -> None:
    """Writes `env`, which a shell reads, and the programs that it puts on PATH; the remediator's files are there."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, module in PROGRAMS.items():
        _write_program(programs / name, f'exec {shlex.quote(sys.executable)} -m {module} "$@"')
    _write_program(programs / "hang-api", f"kill -USR1 {os.getpid()} && echo {shlex.quote(ASKED)}")
    variables = {
        "PYTHONPATH": ROOT,
        "REMEDIATOR_PID": stage.remediator.process.pid,
        **{f"{name.upper()}_URL": url for name, url in stage.urls().items()},
    }
    if stage.cluster is not None:
        variables["KUBECONFIG"] = stage.cluster.kubeconfig_path
    lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in variables.items()]
    text = "".join([f'export PATH={shlex.quote(str(programs))}:"$PATH"\n', *lines])
    (folder / "env").write_text(text, encoding="utf-8")


def _write_program(path: Path, command: str) -> None:
    """A program of one line of shell."""
    path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    path.chmod(0o755)


def serve(stage: Stage, folder: Path) -> None:
    """Stays up until SIGINT or SIGTERM; each SIGUSR1 makes the API hang."""
    asked: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, _frame: asked.put(number))
    write_folder(stage, folder)
    headline("the stage of docs/tutorial.md is ready; Ctrl-C ends it")
    for name, url in stage.urls().items():
        print(f"  {name:<13} {url}")
    print(f"  in another terminal: cd {folder} && . ./env", flush=True)
    while asked.get() == signal.SIGUSR1:
        if stage.follower is not None:
            pods = stage.follower.fault("hang", API)
            print(f"  {len(pods)} replicas of {API} hang", flush=True)
