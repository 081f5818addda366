"""Draws a page with Grafana's components in Debian's chromium and makes a small PNG of it.

@grafana/ui and @grafana/data come from the npm registry in the versions of tools/pictures/package-lock.json, into the
cache outside the tree in which the other tools are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tools.install.cache import cache_folder
from tools.slowness import scaled

SOURCES = Path(__file__).parent
SCRIPTS = ("frames.js", "page.jsx", "scrollbars.js")
LOCK = "package-lock.json"
PROGRAMS = {"npm": "npm", "chromium": "chromium", "pngquant": "pngquant"}
"""The programs and their Debian packages."""
WIDTH = 1592
ROW_PIXELS = 38
HEAD_PIXELS = 96
COLOURS = 48
PATIENCE_MILLISECONDS = 8000
"""Of the browser's own clock, which runs as fast as the page allows."""
RUN_SECONDS = 300.0
"""The longest that a program may take; a picture takes a few seconds."""
INSTALL_SECONDS = 1800.0
"""The same for npm's installation, which takes a minute on an idle machine."""


class PictureError(RuntimeError):
    """A program is missing or fails; the message says which."""


def bundle() -> Path:
    """The page's program as one file, and its styles; built when a source has changed."""
    folder = cache_folder() / "pictures"
    built = folder / f"page-{_digest(*SCRIPTS, LOCK)}.js"
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    _install(folder)
    for name in SCRIPTS:
        shutil.copy(SOURCES / name, folder / name)
    kinds = [f"--loader:.{kind}=dataurl" for kind in ("svg", "png", "woff2", "ttf")]
    _run(
        [
            str(folder / "node_modules/@esbuild/linux-x64/bin/esbuild"),
            *("page.jsx", "--bundle", "--format=esm", "--jsx=automatic", "--minify", f"--outfile={built}"),
            "--alias:react-custom-scrollbars-2=./scrollbars.js",
            *('--define:process.env.NODE_ENV="production"', *kinds),
        ],
        folder,
    )
    return built


def _install(folder: Path) -> None:
    """Installs the locked packages, unless they are there."""
    mark = folder / f"installed-{_digest(LOCK)}"
    if mark.exists():
        return
    for name in ("package.json", LOCK):
        shutil.copy(SOURCES / name, folder / name)
    _run([_find("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, scaled(INSTALL_SECONDS))
    mark.touch()


def _digest(*names: str) -> str:
    """A hash over sources."""
    return hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in names)).hexdigest()[:20]


def draw(dashboard: dict[str, Any], path: Path) -> None:
    """Writes the picture of a dashboard with its answers."""
    program = bundle()
    text = json.dumps(dashboard).replace("</", "<\\/")
    script = program.read_text(encoding="utf-8").replace("</script", "<\\/script")
    style = program.with_suffix(".css").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="controlcore-pictures-") as folder:
        page, whole = Path(folder) / "page.html", Path(folder) / "whole.png"
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><style>{style} html {{ font-size: 14px }}</style>'
            f'<body style="margin: 0"><div id="root"></div>'
            f'<script>window.dashboard = {text}</script><script type="module">{script}</script>',
            encoding="utf-8",
        )
        height = HEAD_PIXELS + dashboard["rows"] * ROW_PIXELS
        printed = _run(
            [
                *(_find("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                "--enable-logging=stderr",
                *(f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{height}"),
                *(f"--virtual-time-budget={PATIENCE_MILLISECONDS}", f"--screenshot={whole}", page.as_uri()),
            ],
            Path(folder),
        )
        if "Uncaught" in printed:
            raise PictureError(f"{path.stem}: the page fails: {printed[-2000:]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        _run(
            [_find("pngquant"), "--force", "--nofs", "--strip", f"--output={path}", str(COLOURS), str(whole)],
            Path(folder),
        )


def _find(program: str) -> str:
    """Where the program is; PictureError names its package."""
    found = shutil.which(program)
    if found is None:
        raise PictureError(f"{program} is missing: install Debian's package {PROGRAMS[program]}")
    return found


def _run(command: list[str], folder: Path, timeout_seconds: float | None = None) -> str:
    """Runs a program and returns what it printed on stderr; PictureError with the end of it when it fails or hangs.

    The children of a program that hangs end with it: the browser has several.
    """
    timeout_seconds = scaled(RUN_SECONDS) if timeout_seconds is None else timeout_seconds
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            printed, complaints = process.communicate(timeout=timeout_seconds)
        except BaseException as error:
            # Also at Ctrl-C, which does not reach a process group of its own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise PictureError(f"{command[0]}: not done within {timeout_seconds:g} s") from error
    if process.returncode != 0:
        raise PictureError(f"{command[0]}: {(complaints or printed)[-2000:]}")
    return complaints
