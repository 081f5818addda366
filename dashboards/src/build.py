"""Writes the committed dashboards from their sources: `python -m dashboards.src.build [--check]`.

With `--check` nothing is written, and a difference between source and file is an error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.src.pages.bouncers import BOUNCERS
from dashboards.src.pages.health import HEALTH
from dashboards.src.pages.operations import OPERATIONS
from dashboards.src.pages.overview import OVERVIEW
from dashboards.src.pages.policy import POLICY
from dashboards.src.pages.stores import STORES
from dashboards.src.panels import Page, build_page

FOLDER = Path(__file__).parents[1]
PAGES = (OVERVIEW, HEALTH, POLICY, BOUNCERS, STORES, OPERATIONS)


def render_page(page: Page) -> str:
    """The dashboard as Grafana's JSON, with sorted keys so that a change shows as what it is."""
    return json.dumps(build_page(page), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def find_drift(folder: Path) -> list[Path]:
    """The files that differ from their source, are missing, or have no source."""
    texts = {folder / f"{page.uid}.json": render_page(page) for page in PAGES}
    drifted = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    return drifted + sorted(set(folder.glob("*.json")) - texts.keys())


def write_pages(folder: Path) -> list[Path]:
    """Writes every dashboard into the folder; returns the files."""
    written = []
    for page in PAGES:
        path = folder / f"{page.uid}.json"
        path.write_text(render_page(page), encoding="utf-8")
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's docstring; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="dashboards.src.build", description="Build the dashboards from their sources."
    )
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    if parser.parse_args(arguments).check:
        drifted = find_drift(FOLDER)
        for path in drifted:
            print(f"{path.name}: differs from its source; run `make generate`", file=sys.stderr)
        return 1 if drifted else 0
    for path in write_pages(FOLDER):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
